"""Pauses, deadlines, checkpoints in the store, smaller batches, webhooks, fair queues"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_JSON = sa.JSON(none_as_null=True)


def upgrade() -> None:
    with op.batch_alter_table("job", schema=None) as batch_op:
        batch_op.add_column(sa.Column("expires_at", sa.Double(), nullable=True))
        batch_op.add_column(sa.Column("time_limit_seconds", sa.Double(), nullable=True))
        batch_op.add_column(sa.Column("pause_requested_at", sa.Double(), nullable=True))
        batch_op.add_column(sa.Column("paused_at", sa.Double(), nullable=True))
        batch_op.add_column(sa.Column("claimed_at", sa.Double(), nullable=True))
        batch_op.add_column(
            sa.Column("seconds_run", sa.Double(), server_default="0", nullable=False)
        )
        batch_op.add_column(
            sa.Column("batch_divisor", sa.Integer(), server_default="1", nullable=False)
        )
        batch_op.add_column(sa.Column("checkpoint", _JSON, nullable=True))
        batch_op.add_column(sa.Column("webhook", _JSON, nullable=True))
        batch_op.drop_index("ix_job_state_queue")
        batch_op.create_index("ix_job_queue_state", ["queue", "state", "tenant", "created_at"])
    op.create_table(
        "webhook_delivery",
        sa.Column("id", sa.String(length=255), nullable=False),
        sa.Column("job_id", sa.String(length=255), nullable=False),
        sa.Column("event_number", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=255), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("not_before", sa.Double(), nullable=False),
        sa.Column("last_answer", sa.String(length=255), nullable=True),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("delivered_at", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("webhook_delivery", schema=None) as batch_op:
        batch_op.create_index(
            "ix_webhook_delivery_job_event", ["job_id", "event_number"], unique=True
        )
        batch_op.create_index("ix_webhook_delivery_due", ["state", "not_before"])


def downgrade() -> None:
    op.drop_table("webhook_delivery")
    with op.batch_alter_table("job", schema=None) as batch_op:
        batch_op.drop_index("ix_job_queue_state")
        batch_op.create_index("ix_job_state_queue", ["state", "queue", "created_at"])
        for name in (
            "webhook",
            "checkpoint",
            "batch_divisor",
            "seconds_run",
            "claimed_at",
            "paused_at",
            "pause_requested_at",
            "time_limit_seconds",
            "expires_at",
        ):
            batch_op.drop_column(name)
