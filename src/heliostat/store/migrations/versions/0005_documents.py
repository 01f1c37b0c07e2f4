"""Documents of dialects.

Revision ID: 0005
Revises: 0004
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

WORDS = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
IS_OPEN = sa.column("open").is_(True)
EXPIRES = sa.column("expires_at").is_not(None)


def upgrade() -> None:
    op.create_table(
        "documents",
        sa.Column("kind", WORDS, nullable=False),
        sa.Column("workspace", WORDS, nullable=False),
        sa.Column("key", WORDS, nullable=False),
        sa.Column("group", WORDS, nullable=False, comment="What it is listed under"),
        sa.Column("parent", WORDS, nullable=False, comment="kind|key of the one to look at when this one changes"),
        sa.Column("open", sa.Boolean(), nullable=False, comment="Whether its attendant has something to do"),
        sa.Column("job", WORDS, nullable=True, comment="No foreign key: documents may outlive their job"),
        sa.Column("creator", WORDS, nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("modified_at", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=True),
        sa.Column("body", WORDS, nullable=False, comment="Sealed"),
        sa.ForeignKeyConstraint(["workspace"], ["workspaces.id"], name="fk_documents_workspace"),
        sa.PrimaryKeyConstraint("kind", "workspace", "key", name="pk_documents"),
    )
    op.create_index("ix_documents_key", "documents", ["kind", "key"])
    op.create_index("ix_documents_newest", "documents", ["workspace", "kind", "group", "created_at"])
    op.create_index("ix_documents_open", "documents", ["kind"], sqlite_where=IS_OPEN, postgresql_where=IS_OPEN)
    op.create_index("ix_documents_job", "documents", ["job"], sqlite_where=IS_OPEN, postgresql_where=IS_OPEN)
    op.create_index(
        "ix_documents_expires_at", "documents", ["expires_at"], sqlite_where=EXPIRES, postgresql_where=EXPIRES
    )
