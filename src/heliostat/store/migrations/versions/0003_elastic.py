"""Queues with quota, claims on them, the ledger of usage; what is seen of autoscaling and activity.

Runs that exist have no claims: the first look at each makes them, as admitted.

Revision ID: 0003
Revises: 0002
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

WORDS = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
LACKING = sa.column("wanted") > sa.column("held")


def upgrade() -> None:
    for column in (
        sa.Column("priority", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("backfill", sa.Boolean(), nullable=False, server_default=sa.true()),
        sa.Column(
            "held_cpu",
            sa.BigInteger(),
            nullable=False,
            server_default="0",
            comment="Thousandths of cores; sum of its claims",
        ),
        sa.Column("held_memory", sa.BigInteger(), nullable=False, server_default="0"),
        sa.Column("held_gpu", sa.BigInteger(), nullable=False, server_default="0"),
        sa.Column("extras", WORDS, nullable=False, server_default=""),
    ):
        op.add_column("queues", column)
    for column in (
        sa.Column("renew", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("demand", WORDS, nullable=False, server_default=""),
        sa.Column("activity", WORDS, nullable=False, server_default=""),
        sa.Column(
            "shapes",
            WORDS,
            nullable=False,
            server_default="",
            comment="Marks of the shapes of nodes, by worker group",
        ),
        sa.Column(
            "traffic_at",
            sa.BigInteger(),
            nullable=True,
            comment="Last use through the gateway; not part of the revisioned content",
        ),
    ):
        op.add_column("instances", column)
    op.create_table(
        "claims",
        sa.Column("instance", WORDS, nullable=False),
        sa.Column("group", WORDS, nullable=False, comment="Empty for the head"),
        sa.Column("workspace", WORDS, nullable=False),
        sa.Column("cluster", WORDS, nullable=False),
        sa.Column("queue", WORDS, nullable=False),
        sa.Column("principal", WORDS, nullable=False),
        sa.Column("node_cpu", sa.BigInteger(), nullable=False, comment="Thousandths of cores of one node"),
        sa.Column("node_memory", sa.BigInteger(), nullable=False),
        sa.Column("node_gpu", sa.Integer(), nullable=False),
        sa.Column("wanted", sa.Integer(), nullable=False),
        sa.Column("held", sa.Integer(), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("asked_at", sa.BigInteger(), nullable=False),
        sa.Column("phase", WORDS, nullable=False),
        sa.Column("metered_until", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("instance", "group", name="pk_claims"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_claims_metered_until", "claims", ["metered_until"])
    op.create_index("ix_claims_lacking", "claims", ["workspace"], sqlite_where=LACKING, postgresql_where=LACKING)
    op.create_index("ix_claims_queue", "claims", ["workspace", "queue"])
    op.create_table(
        "usage_hours",
        sa.Column("workspace", WORDS, nullable=False),
        sa.Column("hour", sa.BigInteger(), nullable=False, comment="Its beginning"),
        sa.Column("queue", WORDS, nullable=False),
        sa.Column("cluster", WORDS, nullable=False, comment="No foreign key: usage outlives its cluster"),
        sa.Column("principal", WORDS, nullable=False),
        sa.Column("phase", WORDS, nullable=False),
        sa.Column("node_ms", sa.BigInteger(), nullable=False),
        sa.Column("cpu", sa.BigInteger(), nullable=False, comment="Thousandths of cores x milliseconds"),
        sa.Column("memory", sa.BigInteger(), nullable=False, comment="Mebibytes x milliseconds"),
        sa.Column("gpu", sa.BigInteger(), nullable=False, comment="GPUs x milliseconds"),
        sa.Column("cu", sa.BigInteger(), nullable=False, comment="Thousandths of compute units x milliseconds"),
        sa.PrimaryKeyConstraint("workspace", "hour", "queue", "cluster", "principal", "phase", name="pk_usage_hours"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_usage_hours_cluster", "usage_hours", ["cluster", "hour"])
