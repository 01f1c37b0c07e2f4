"""Operations that clients may poll, numbers of workspaces, service-account keys.

Revision ID: 0004
Revises: 0003
"""

from __future__ import annotations

import secrets

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

WORDS = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
OPEN = sa.column("ended_at").is_(None)
ENDED = sa.column("ended_at").is_not(None)


def upgrade() -> None:
    op.add_column(
        "workspaces",
        sa.Column("number", sa.BigInteger(), nullable=False, server_default="0", comment="Twelve digits"),
    )
    workspaces = sa.table("workspaces", sa.column("id", WORDS), sa.column("number", sa.BigInteger()))
    connection = op.get_bind()
    given: set[int] = set()
    for (id,) in connection.execute(sa.select(workspaces.c.id)).all():
        while (number := secrets.randbelow(9 * 10**11) + 10**11) in given:
            pass
        given.add(number)
        connection.execute(sa.update(workspaces).where(workspaces.c.id == id).values(number=number))
    op.create_index("uq_workspaces_number", "workspaces", ["number"], unique=True)
    for column in (
        sa.Column("public_key", WORDS, nullable=True, comment="PEM; service-account keys only"),
        sa.Column(
            "subject", WORDS, nullable=True, comment="The e-mail address that they go by; service-account keys only"
        ),
    ):
        op.add_column("credentials", column)
    op.create_table(
        "operations",
        sa.Column("id", WORDS, nullable=False),
        sa.Column("workspace", WORDS, nullable=False),
        sa.Column("cluster", WORDS, nullable=False, comment="No foreign key: operations outlive their cluster"),
        sa.Column("kind", WORDS, nullable=False),
        sa.Column("creator", WORDS, nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("cluster_created_at", sa.BigInteger(), nullable=False),
        sa.Column("label", WORDS, nullable=False, comment="What a dialect names it by"),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.Column("failure", WORDS, nullable=True),
        sa.Column("message", WORDS, nullable=False),
        sa.Column("spec", WORDS, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_operations"),
    )
    op.create_index("ix_operations_ended_at", "operations", ["ended_at"], sqlite_where=ENDED, postgresql_where=ENDED)
    op.create_index("ix_operations_newest", "operations", ["workspace", "created_at", "id"])
    op.create_index("ix_operations_cluster", "operations", ["cluster", "created_at", "id"])
    op.create_index("ix_operations_open", "operations", ["cluster"], sqlite_where=OPEN, postgresql_where=OPEN)
