"""The tables.

Both databases get the same shapes, so that one set of tests speaks for both:

* text is compared and sorted by code point (collation ``C`` on PostgreSQL, as SQLite does anyway);
* times are microseconds since 1970 in UTC, in a 64-bit integer: exact, sortable, and free of session time zones;
* documents (specs, nodes, tags) are JSON in text columns that the database never looks into;
* ``revision`` is a random number that is new with every save of the row. Equal revision = equal content, which is what
  the cache of decoded objects relies on; random rather than counted, because a counter's value can be seen in a
  transaction that is rolled back and then be given out again for other content.

Large documents stand last in their tables, because SQLite reads a row only as far as it needs to.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    column,
    false,
    true,
)
from sqlalchemy.types import TypeDecorator, TypeEngine

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Instant(TypeDecorator[datetime]):
    """An aware datetime as microseconds since 1970. Read back in UTC."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:
        return None if value is None else (value - _EPOCH) // _MICROSECOND

    def process_result_value(self, value: int | None, dialect: Dialect) -> datetime | None:
        return None if value is None else _EPOCH + timedelta(microseconds=value)


class Words(TypeDecorator[str]):
    """Text that either database accepts.

    PostgreSQL refuses NUL and both refuse lone surrogates. Such text comes in through log tails and odd requests; it is
    made storable with U+FFFD rather than failing a transaction, and a lookup of it simply finds nothing.
    """

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return Text(collation="C" if dialect.name == "postgresql" else None)

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        if value is None:
            return None
        plain = value if type(value) is str else str(value)
        if plain.isascii() and "\0" not in plain:
            return plain
        return plain.encode("utf-8", "replace").decode("utf-8").replace("\0", "\ufffd")


metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

installation = Table(
    "installation",
    metadata,
    Column("key", Words, primary_key=True),
    Column("value", Words, nullable=False),
    comment="Facts about the installation itself, e.g. a proof that the master key is the right one",
)

workspaces = Table(
    "workspaces",
    metadata,
    Column("id", Words, primary_key=True),
    Column("name", Words, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("creator", Words),
    Column("tags", Words, nullable=False),
    Column("number", BigInteger, nullable=False, server_default="0", comment="Twelve digits"),
    UniqueConstraint("name"),
    Index("uq_workspaces_number", "number", unique=True),
)

queues = Table(
    "queues",
    metadata,
    Column("workspace", Words, ForeignKey("workspaces.id"), primary_key=True),
    Column("name", Words, primary_key=True),
    Column("created_at", Instant, nullable=False),
    Column("creator", Words),
    Column("description", Words, nullable=False),
    Column("minimum_cpu", Words, comment="A decimal number of cores"),
    Column("minimum_memory", BigInteger),
    Column("minimum_gpu", Integer),
    Column("maximum_cpu", Words),
    Column("maximum_memory", BigInteger),
    Column("maximum_gpu", Integer),
    Column("priority", Integer, nullable=False, server_default="0"),
    Column("backfill", Boolean, nullable=False, server_default=true()),
    Column(
        "held_cpu", BigInteger, nullable=False, server_default="0", comment="Thousandths of cores; sum of its claims"
    ),
    Column("held_memory", BigInteger, nullable=False, server_default="0"),
    Column("held_gpu", BigInteger, nullable=False, server_default="0"),
    Column("extras", Words, nullable=False, server_default=""),
)

principals = Table(
    "principals",
    metadata,
    Column("id", Words, primary_key=True),
    Column("name", Words, nullable=False),
    Column("admin", Boolean, nullable=False),
    UniqueConstraint("name"),
)

roles = Table(
    "roles",
    metadata,
    Column("principal", Words, ForeignKey("principals.id", ondelete="CASCADE"), primary_key=True),
    Column("workspace", Words, ForeignKey("workspaces.id", ondelete="CASCADE"), primary_key=True),
    Column("role", Words, nullable=False),
)

credentials = Table(
    "credentials",
    metadata,
    Column("id", Words, primary_key=True),
    Column("kind", Words, nullable=False),
    Column("principal", Words, ForeignKey("principals.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("description", Words, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("expires_at", Instant),
    Column("revoked_at", Instant),
    Column("last_used_at", Instant),
    Column("secret", Words, comment="Sealed; access keys only"),
    Column("token_hash", LargeBinary, comment="SHA-256; tokens only"),
    Column("public_key", Words, comment="PEM; service-account keys only"),
    Column("subject", Words, comment="The e-mail address that they go by; service-account keys only"),
    UniqueConstraint("token_hash"),
)

clusters = Table(
    "clusters",
    metadata,
    Column("id", Words, primary_key=True),
    Column("workspace", Words, ForeignKey("workspaces.id"), nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("name", Words, nullable=False, comment="The spec's name"),
    Column("generation", Integer, nullable=False),
    Column("wanted", Words, nullable=False),
    Column("state", Words, nullable=False),
    Column("message", Words, nullable=False),
    Column("modified", Boolean, nullable=False),
    Column("instance", Words, comment="The present run"),
    Column("creator", Words, nullable=False),
    Column("creator_name", Words, nullable=False),
    Column("modifier", Words, nullable=False),
    Column("modifier_name", Words, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("modified_at", Instant, nullable=False),
    Column("started_at", Instant),
    Column("deleted_at", Instant),
    Column("spec", Words, nullable=False),
    Column("job", Words, comment="The job that it was made for and goes with"),
)

_UNDELETED = column("deleted_at").is_(None)
Index(
    "uq_clusters_workspace_name",
    clusters.c.workspace,
    clusters.c.name,
    unique=True,
    sqlite_where=_UNDELETED,
    postgresql_where=_UNDELETED,
)
Index(
    "ix_clusters_newest",
    clusters.c.workspace,
    clusters.c.created_at,
    clusters.c.id,
    sqlite_where=_UNDELETED,
    postgresql_where=_UNDELETED,
)
Index("ix_clusters_activity", clusters.c.wanted, clusters.c.state, clusters.c.id)

instances = Table(
    "instances",
    metadata,
    Column("id", Words, primary_key=True),
    Column("cluster", Words, ForeignKey("clusters.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("workspace", Words, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("generation", Integer, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("running_at", Instant),
    Column("ended_at", Instant),
    Column("retired", Boolean, nullable=False),
    Column("submit_token_hash", LargeBinary, nullable=False, comment="SHA-256"),
    Column("submit_token", Words, nullable=False, comment="Sealed"),
    Column("ray_token", Words, nullable=False, comment="Sealed"),
    Column("dashboard", Words),
    Column("client", Words),
    Column("progress", Words, nullable=False),
    Column("nodes", Words, nullable=False),
    Column("spec", Words, nullable=False),
    Column("logs_kept", Boolean, nullable=False, server_default=false()),
    Column("renew", Integer, nullable=False, server_default="0"),
    Column("demand", Words, nullable=False, server_default=""),
    Column("activity", Words, nullable=False, server_default=""),
    Column("shapes", Words, nullable=False, server_default="", comment="Marks of the shapes of nodes, by worker group"),
    Column("traffic_at", Instant, comment="Last use through the gateway; not part of the revisioned content"),
    UniqueConstraint("submit_token_hash"),
)

_LIVE = column("ended_at").is_(None)
Index("ix_instances_live", instances.c.cluster, instances.c.id, sqlite_where=_LIVE, postgresql_where=_LIVE)

operations = Table(
    "operations",
    metadata,
    Column("id", Words, primary_key=True),
    Column("workspace", Words, nullable=False),
    Column("cluster", Words, nullable=False, comment="No foreign key: operations outlive their cluster"),
    Column("kind", Words, nullable=False),
    Column("creator", Words, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("generation", Integer, nullable=False),
    Column("cluster_created_at", Instant, nullable=False),
    Column("label", Words, nullable=False, comment="What a dialect names it by"),
    Column("ended_at", Instant),
    Column("failure", Words),
    Column("message", Words, nullable=False),
    Column("spec", Words, nullable=False),
    Index("ix_operations_newest", "workspace", "created_at", "id"),
    Index("ix_operations_cluster", "cluster", "created_at", "id"),
)
_OPEN = column("ended_at").is_(None)
Index("ix_operations_open", operations.c.cluster, sqlite_where=_OPEN, postgresql_where=_OPEN)
_ENDED = column("ended_at").is_not(None)
Index("ix_operations_ended_at", operations.c.ended_at, sqlite_where=_ENDED, postgresql_where=_ENDED)

claims = Table(
    "claims",
    metadata,
    Column("instance", Words, primary_key=True),
    Column("group", Words, primary_key=True, comment="Empty for the head"),
    Column("workspace", Words, nullable=False),
    Column("cluster", Words, nullable=False),
    Column("queue", Words, nullable=False),
    Column("principal", Words, nullable=False),
    Column("node_cpu", BigInteger, nullable=False, comment="Thousandths of cores of one node"),
    Column("node_memory", BigInteger, nullable=False),
    Column("node_gpu", Integer, nullable=False),
    Column("wanted", Integer, nullable=False),
    Column("held", Integer, nullable=False),
    Column("priority", Integer, nullable=False),
    Column("asked_at", Instant, nullable=False),
    Column("phase", Words, nullable=False),
    Column("metered_until", Instant, nullable=False, index=True),
    sqlite_with_rowid=False,
)
_LACKING = column("wanted") > column("held")
Index("ix_claims_lacking", claims.c.workspace, sqlite_where=_LACKING, postgresql_where=_LACKING)
Index("ix_claims_queue", claims.c.workspace, claims.c.queue)

usage_hours = Table(
    "usage_hours",
    metadata,
    Column("workspace", Words, primary_key=True),
    Column("hour", Instant, primary_key=True, comment="Its beginning"),
    Column("queue", Words, primary_key=True),
    Column("cluster", Words, primary_key=True, comment="No foreign key: usage outlives its cluster"),
    Column("principal", Words, primary_key=True),
    Column("phase", Words, primary_key=True),
    Column("node_ms", BigInteger, nullable=False),
    Column("cpu", BigInteger, nullable=False, comment="Thousandths of cores x milliseconds"),
    Column("memory", BigInteger, nullable=False, comment="Mebibytes x milliseconds"),
    Column("gpu", BigInteger, nullable=False, comment="GPUs x milliseconds"),
    Column("cu", BigInteger, nullable=False, comment="Thousandths of compute units x milliseconds"),
    Index("ix_usage_hours_cluster", "cluster", "hour"),
    sqlite_with_rowid=False,
)

events = Table(
    "events",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("cluster", Words, nullable=False, comment="No foreign key: events outlive their cluster"),
    Column("workspace", Words, nullable=False),
    Column("instance", Words),
    Column("at", Instant, nullable=False),
    Column("actor", Words, nullable=False),
    Column("reason", Words, nullable=False),
    Column("message", Words, nullable=False),
    Column("warning", Boolean, nullable=False),
    Column("key", Words),
    Column("job", Words),
    UniqueConstraint("cluster", "key"),
    Index("ix_events_cluster", "cluster", "id"),
    Index("ix_events_workspace", "workspace", "id"),
    Index("ix_events_job", "job", "id"),
    sqlite_autoincrement=True,
)

jobs = Table(
    "jobs",
    metadata,
    Column("id", Words, primary_key=True),
    Column("workspace", Words, ForeignKey("workspaces.id"), nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("name", Words, nullable=False),
    Column("status", Words, nullable=False),
    Column("goal", Words, nullable=False),
    Column("cluster", Words, nullable=False, comment="No foreign key: jobs outlive their cluster"),
    Column("creator_name", Words, nullable=False),
    Column("submitted_at", Instant, nullable=False),
    Column("ended_at", Instant),
    Column("settled", Boolean, nullable=False),
    Column("life", Words, nullable=False, comment="All that changes while it lives"),
    Column("spec", Words, nullable=False),
)
_UNSETTLED = column("settled").is_(False)
Index("ix_jobs_newest", jobs.c.workspace, jobs.c.submitted_at, jobs.c.id)
Index("ix_jobs_name", jobs.c.workspace, jobs.c.name, jobs.c.submitted_at, jobs.c.id)
Index("ix_jobs_unsettled", jobs.c.cluster, jobs.c.id, sqlite_where=_UNSETTLED, postgresql_where=_UNSETTLED)
Index("ix_jobs_ended", jobs.c.ended_at)

log_files = Table(
    "log_files",
    metadata,
    Column("owner", Words, primary_key=True, comment="Id of a job or of an instance"),
    Column("name", Words, primary_key=True),
    Column("workspace", Words, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("source_offset", BigInteger, nullable=False),
    Column("modified_at", Instant, nullable=False, index=True),
    Column("complete", Boolean, nullable=False),
    Column("note", Words, nullable=False),
)

packages = Table(
    "packages",
    metadata,
    Column("workspace", Words, ForeignKey("workspaces.id"), primary_key=True),
    Column("sha256", Words, primary_key=True),
    Column("size", BigInteger, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("used_at", Instant, nullable=False, index=True),
)

documents = Table(
    "documents",
    metadata,
    Column("kind", Words, primary_key=True),
    Column("workspace", Words, ForeignKey("workspaces.id"), primary_key=True),
    Column("key", Words, primary_key=True),
    Column("group", Words, nullable=False, comment="What it is listed under"),
    Column("parent", Words, nullable=False, comment="kind|key of the one to look at when this one changes"),
    Column("open", Boolean, nullable=False, comment="Whether its attendant has something to do"),
    Column("job", Words, nullable=True, comment="No foreign key: documents may outlive their job"),
    Column("creator", Words, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("modified_at", Instant, nullable=False),
    Column("version", Integer, nullable=False),
    Column("expires_at", Instant, nullable=True),
    Column("body", Words, nullable=False, comment="Sealed"),
)
_IS_OPEN = column("open").is_(True)
_EXPIRES = column("expires_at").is_not(None)
Index("ix_documents_key", documents.c.kind, documents.c.key)
Index("ix_documents_newest", documents.c.workspace, documents.c.kind, documents.c.group, documents.c.created_at)
Index("ix_documents_open", documents.c.kind, sqlite_where=_IS_OPEN, postgresql_where=_IS_OPEN)
Index("ix_documents_job", documents.c.job, sqlite_where=_IS_OPEN, postgresql_where=_IS_OPEN)
Index("ix_documents_expires_at", documents.c.expires_at, sqlite_where=_EXPIRES, postgresql_where=_EXPIRES)

secrets = Table(
    "secrets",
    metadata,
    Column("id", Words, primary_key=True, comment="Of this value: a new one with every other value"),
    Column("workspace", Words, ForeignKey("workspaces.id"), nullable=False),
    Column("group", Words, nullable=False),
    Column("key", Words, nullable=False),
    Column("version", Words, nullable=False),
    Column("modified_at", Instant, nullable=False),
    Column("modifier", Words, nullable=False),
    Column("modifier_name", Words, nullable=False),
    Column("replaced_at", Instant, comment="Kept for the logs of jobs that were given it"),
    Column("value", Words, nullable=False, comment="Sealed"),
)
_CURRENT = column("replaced_at").is_(None)
Index(
    "uq_secrets_name",
    secrets.c.workspace,
    secrets.c.group,
    secrets.c.key,
    secrets.c.version,
    unique=True,
    sqlite_where=_CURRENT,
    postgresql_where=_CURRENT,
)
_REPLACED = column("replaced_at").is_not(None)
Index("ix_secrets_replaced", secrets.c.id, sqlite_where=_REPLACED, postgresql_where=_REPLACED)

secret_uses = Table(
    "secret_uses",
    metadata,
    Column("job", Words, ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("attempt", Integer, primary_key=True),
    Column("position", Integer, primary_key=True, comment="Among the secrets of the job"),
    Column("secret", Words, ForeignKey("secrets.id"), nullable=False, index=True),
)

nonces = Table(
    "nonces",
    metadata,
    Column("digest", LargeBinary, primary_key=True),
    Column("expires_at", Instant, nullable=False, index=True),
    sqlite_with_rowid=False,
)

client_tokens = Table(
    "client_tokens",
    metadata,
    Column("principal", Words, primary_key=True),
    Column("token", Words, primary_key=True),
    Column("action", Words, nullable=False),
    Column("target", Words, nullable=False),
    Column("expires_at", Instant, nullable=False, index=True),
    sqlite_with_rowid=False,
)

leases = Table(
    "leases",
    metadata,
    Column("key", Words, primary_key=True),
    Column("holder", Words, nullable=False, index=True),
    Column("until", Instant, nullable=False),
    sqlite_with_rowid=False,
)
