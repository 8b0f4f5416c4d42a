"""Latencies that users' devices measured"""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "latencies",
        sa.Column("id", sa.String(length=255), primary_key=True),
        sa.Column("tenant", sa.String(length=255), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("filename", sa.String(length=255), nullable=True),
        sa.Column("sha256", sa.String(length=255), nullable=False),
        sa.Column("num_bytes", sa.BigInteger(), nullable=False),
        sa.Column("model_id", sa.String(length=255), nullable=False),
        sa.Column("bench", sa.String(length=255), nullable=False),
        sa.Column("summary", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("deleted_at", sa.Double(), nullable=True),
    )
    op.create_index("ix_latencies_tenant", "latencies", ["tenant"])
    op.create_index("ix_latencies_sha256", "latencies", ["sha256"])
    stored = ["tenant", "deleted_at", "num_bytes"]
    op.create_index("ix_latencies_stored", "latencies", stored)


def downgrade() -> None:
    op.drop_table("latencies")
