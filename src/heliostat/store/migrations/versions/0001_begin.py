"""The first schema."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

WORDS = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
UNDELETED = sa.text("deleted_at IS NULL")
LIVE = sa.text("ended_at IS NULL")


def upgrade() -> None:
    op.create_table(
        "client_tokens",
        sa.Column("principal", WORDS, nullable=False),
        sa.Column("token", WORDS, nullable=False),
        sa.Column("action", WORDS, nullable=False),
        sa.Column("target", WORDS, nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("principal", "token", name="pk_client_tokens"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_client_tokens_expires_at", "client_tokens", ["expires_at"])

    op.create_table(
        "events",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("cluster", WORDS, nullable=False, comment="No foreign key: events outlive their cluster"),
        sa.Column("workspace", WORDS, nullable=False),
        sa.Column("instance", WORDS, nullable=True),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("actor", WORDS, nullable=False),
        sa.Column("reason", WORDS, nullable=False),
        sa.Column("message", WORDS, nullable=False),
        sa.Column("warning", sa.Boolean(), nullable=False),
        sa.Column("key", WORDS, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_events"),
        sa.UniqueConstraint("cluster", "key", name="uq_events_cluster_key"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_events_cluster", "events", ["cluster", "id"])
    op.create_index("ix_events_workspace", "events", ["workspace", "id"])

    op.create_table(
        "installation",
        sa.Column("key", WORDS, nullable=False),
        sa.Column("value", WORDS, nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_installation"),
        comment="Facts about the installation itself, e.g. a proof that the master key is the right one",
    )
    op.create_table(
        "leases",
        sa.Column("key", WORDS, nullable=False),
        sa.Column("holder", WORDS, nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_leases"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_leases_holder", "leases", ["holder"])

    op.create_table(
        "nonces",
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name="pk_nonces"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_nonces_expires_at", "nonces", ["expires_at"])

    op.create_table(
        "principals",
        sa.Column("id", WORDS, nullable=False),
        sa.Column("name", WORDS, nullable=False),
        sa.Column("admin", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_principals"),
        sa.UniqueConstraint("name", name="uq_principals_name"),
    )
    op.create_table(
        "workspaces",
        sa.Column("id", WORDS, nullable=False),
        sa.Column("name", WORDS, nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("creator", WORDS, nullable=True),
        sa.Column("tags", WORDS, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_workspaces"),
        sa.UniqueConstraint("name", name="uq_workspaces_name"),
    )
    op.create_table(
        "clusters",
        sa.Column("id", WORDS, nullable=False),
        sa.Column("workspace", WORDS, nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("name", WORDS, nullable=False, comment="The spec's name"),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("wanted", WORDS, nullable=False),
        sa.Column("state", WORDS, nullable=False),
        sa.Column("message", WORDS, nullable=False),
        sa.Column("modified", sa.Boolean(), nullable=False),
        sa.Column("instance", WORDS, nullable=True, comment="The present run"),
        sa.Column("creator", WORDS, nullable=False),
        sa.Column("creator_name", WORDS, nullable=False),
        sa.Column("modifier", WORDS, nullable=False),
        sa.Column("modifier_name", WORDS, nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("modified_at", sa.BigInteger(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=True),
        sa.Column("deleted_at", sa.BigInteger(), nullable=True),
        sa.Column("spec", WORDS, nullable=False),
        sa.ForeignKeyConstraint(["workspace"], ["workspaces.id"], name="fk_clusters_workspace"),
        sa.PrimaryKeyConstraint("id", name="pk_clusters"),
    )
    op.create_index("ix_clusters_activity", "clusters", ["wanted", "state", "id"])
    op.create_index(
        "ix_clusters_newest",
        "clusters",
        ["workspace", "created_at", "id"],
        sqlite_where=UNDELETED,
        postgresql_where=UNDELETED,
    )
    op.create_index(
        "uq_clusters_workspace_name",
        "clusters",
        ["workspace", "name"],
        unique=True,
        sqlite_where=UNDELETED,
        postgresql_where=UNDELETED,
    )

    op.create_table(
        "credentials",
        sa.Column("id", WORDS, nullable=False),
        sa.Column("kind", WORDS, nullable=False),
        sa.Column("principal", WORDS, nullable=False),
        sa.Column("description", WORDS, nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=True),
        sa.Column("revoked_at", sa.BigInteger(), nullable=True),
        sa.Column("last_used_at", sa.BigInteger(), nullable=True),
        sa.Column("secret", WORDS, nullable=True, comment="Sealed; access keys only"),
        sa.Column("token_hash", sa.LargeBinary(), nullable=True, comment="SHA-256; tokens only"),
        sa.ForeignKeyConstraint(["principal"], ["principals.id"], name="fk_credentials_principal", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_credentials"),
        sa.UniqueConstraint("token_hash", name="uq_credentials_token_hash"),
    )
    op.create_index("ix_credentials_principal", "credentials", ["principal"])

    op.create_table(
        "queues",
        sa.Column("workspace", WORDS, nullable=False),
        sa.Column("name", WORDS, nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("creator", WORDS, nullable=True),
        sa.Column("description", WORDS, nullable=False),
        sa.Column("minimum_cpu", WORDS, nullable=True, comment="A decimal number of cores"),
        sa.Column("minimum_memory", sa.BigInteger(), nullable=True),
        sa.Column("minimum_gpu", sa.Integer(), nullable=True),
        sa.Column("maximum_cpu", WORDS, nullable=True),
        sa.Column("maximum_memory", sa.BigInteger(), nullable=True),
        sa.Column("maximum_gpu", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(["workspace"], ["workspaces.id"], name="fk_queues_workspace"),
        sa.PrimaryKeyConstraint("workspace", "name", name="pk_queues"),
    )
    op.create_table(
        "roles",
        sa.Column("principal", WORDS, nullable=False),
        sa.Column("workspace", WORDS, nullable=False),
        sa.Column("role", WORDS, nullable=False),
        sa.ForeignKeyConstraint(["principal"], ["principals.id"], name="fk_roles_principal", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["workspace"], ["workspaces.id"], name="fk_roles_workspace", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("principal", "workspace", name="pk_roles"),
    )
    op.create_table(
        "instances",
        sa.Column("id", WORDS, nullable=False),
        sa.Column("cluster", WORDS, nullable=False),
        sa.Column("workspace", WORDS, nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("running_at", sa.BigInteger(), nullable=True),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.Column("retired", sa.Boolean(), nullable=False),
        sa.Column("submit_token_hash", sa.LargeBinary(), nullable=False, comment="SHA-256"),
        sa.Column("submit_token", WORDS, nullable=False, comment="Sealed"),
        sa.Column("ray_token", WORDS, nullable=False, comment="Sealed"),
        sa.Column("dashboard", WORDS, nullable=True),
        sa.Column("client", WORDS, nullable=True),
        sa.Column("progress", WORDS, nullable=False),
        sa.Column("nodes", WORDS, nullable=False),
        sa.Column("spec", WORDS, nullable=False),
        sa.ForeignKeyConstraint(["cluster"], ["clusters.id"], name="fk_instances_cluster", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_instances"),
        sa.UniqueConstraint("submit_token_hash", name="uq_instances_submit_token_hash"),
    )
    op.create_index("ix_instances_cluster", "instances", ["cluster"])
    op.create_index("ix_instances_live", "instances", ["cluster", "id"], sqlite_where=LIVE, postgresql_where=LIVE)
