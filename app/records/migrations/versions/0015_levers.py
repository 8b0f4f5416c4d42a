"""Levers of operators: cordoned and drained workers, paused queues; the request of a job"""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("worker", sa.Column("cordoned_at", sa.Double(), nullable=True))
    op.add_column("worker", sa.Column("drained_at", sa.Double(), nullable=True))
    op.add_column("worker", sa.Column("ticked_at", sa.Double(), nullable=True))
    op.add_column("job", sa.Column("request_id", sa.String(length=255), nullable=True))
    op.create_table(
        "queue_pause",
        sa.Column("queue", sa.String(length=255), nullable=False),
        sa.Column("paused_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("queue"),
    )


def downgrade() -> None:
    op.drop_table("queue_pause")
    op.drop_column("job", "request_id")
    op.drop_column("worker", "ticked_at")
    op.drop_column("worker", "drained_at")
    op.drop_column("worker", "cordoned_at")
