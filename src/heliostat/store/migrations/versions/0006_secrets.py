"""Secrets of workspaces, and which attempts of jobs were given which values.

Revision ID: 0006
Revises: 0005
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

WORDS = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
CURRENT = sa.column("replaced_at").is_(None)
REPLACED = sa.column("replaced_at").is_not(None)


def upgrade() -> None:
    op.create_table(
        "secrets",
        sa.Column("id", WORDS, nullable=False, comment="Of this value: a new one with every other value"),
        sa.Column("workspace", WORDS, nullable=False),
        sa.Column("group", WORDS, nullable=False),
        sa.Column("key", WORDS, nullable=False),
        sa.Column("version", WORDS, nullable=False),
        sa.Column("modified_at", sa.BigInteger(), nullable=False),
        sa.Column("modifier", WORDS, nullable=False),
        sa.Column("modifier_name", WORDS, nullable=False),
        sa.Column(
            "replaced_at", sa.BigInteger(), nullable=True, comment="Kept for the logs of jobs that were given it"
        ),
        sa.Column("value", WORDS, nullable=False, comment="Sealed"),
        sa.ForeignKeyConstraint(["workspace"], ["workspaces.id"], name="fk_secrets_workspace"),
        sa.PrimaryKeyConstraint("id", name="pk_secrets"),
    )
    op.create_index(
        "uq_secrets_name",
        "secrets",
        ["workspace", "group", "key", "version"],
        unique=True,
        sqlite_where=CURRENT,
        postgresql_where=CURRENT,
    )
    op.create_index("ix_secrets_replaced", "secrets", ["id"], sqlite_where=REPLACED, postgresql_where=REPLACED)
    op.create_table(
        "secret_uses",
        sa.Column("job", WORDS, nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False, comment="Among the secrets of the job"),
        sa.Column("secret", WORDS, nullable=False),
        sa.ForeignKeyConstraint(["job"], ["jobs.id"], name="fk_secret_uses_job", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["secret"], ["secrets.id"], name="fk_secret_uses_secret"),
        sa.PrimaryKeyConstraint("job", "attempt", "position", name="pk_secret_uses"),
    )
    op.create_index("ix_secret_uses_secret", "secret_uses", ["secret"])
