"""Jobs, their logs and packages; events of jobs; clusters that were made for a job.

Revision ID: 0002
Revises: 0001
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

WORDS = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
UNSETTLED = sa.column("settled").is_(False)


def upgrade() -> None:
    op.add_column(
        "clusters", sa.Column("job", WORDS, nullable=True, comment="The job that it was made for and goes with")
    )
    op.add_column("instances", sa.Column("logs_kept", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("events", sa.Column("job", WORDS, nullable=True))
    op.create_index("ix_events_job", "events", ["job", "id"])
    op.create_table(
        "jobs",
        sa.Column("id", WORDS, nullable=False),
        sa.Column("workspace", WORDS, nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("name", WORDS, nullable=False),
        sa.Column("status", WORDS, nullable=False),
        sa.Column("goal", WORDS, nullable=False),
        sa.Column("cluster", WORDS, nullable=False, comment="No foreign key: jobs outlive their cluster"),
        sa.Column("creator_name", WORDS, nullable=False),
        sa.Column("submitted_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.Column("settled", sa.Boolean(), nullable=False),
        sa.Column("life", WORDS, nullable=False, comment="All that changes while it lives"),
        sa.Column("spec", WORDS, nullable=False),
        sa.ForeignKeyConstraint(["workspace"], ["workspaces.id"], name="fk_jobs_workspace"),
        sa.PrimaryKeyConstraint("id", name="pk_jobs"),
    )
    op.create_index("ix_jobs_newest", "jobs", ["workspace", "submitted_at", "id"])
    op.create_index("ix_jobs_name", "jobs", ["workspace", "name", "submitted_at", "id"])
    op.create_index("ix_jobs_unsettled", "jobs", ["cluster", "id"], sqlite_where=UNSETTLED, postgresql_where=UNSETTLED)
    op.create_index("ix_jobs_ended", "jobs", ["ended_at"])
    op.create_table(
        "log_files",
        sa.Column("owner", WORDS, nullable=False, comment="Id of a job or of an instance"),
        sa.Column("name", WORDS, nullable=False),
        sa.Column("workspace", WORDS, nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("source_offset", sa.BigInteger(), nullable=False),
        sa.Column("modified_at", sa.BigInteger(), nullable=False),
        sa.Column("complete", sa.Boolean(), nullable=False),
        sa.Column("note", WORDS, nullable=False),
        sa.PrimaryKeyConstraint("owner", "name", name="pk_log_files"),
    )
    op.create_index("ix_log_files_modified_at", "log_files", ["modified_at"])
    op.create_table(
        "packages",
        sa.Column("workspace", WORDS, nullable=False),
        sa.Column("sha256", WORDS, nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("used_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["workspace"], ["workspaces.id"], name="fk_packages_workspace"),
        sa.PrimaryKeyConstraint("workspace", "sha256", name="pk_packages"),
    )
    op.create_index("ix_packages_used_at", "packages", ["used_at"])
