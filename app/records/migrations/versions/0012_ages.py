"""Indexes of jobs by their end, deadline and kind, and of idempotency keys by age"""

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_job_finished", "job", ["queue", "state", "finished_at"])
    op.create_index("ix_job_counted", "job", ["queue", "state", "kind", "queued_at"])
    op.create_index("ix_job_finished_at", "job", ["finished_at"])
    op.create_index("ix_job_expires_at", "job", ["expires_at"])
    op.create_index("ix_idempotency_created_at", "idempotency", ["created_at"])


def downgrade() -> None:
    op.drop_index("ix_idempotency_created_at", "idempotency")
    op.drop_index("ix_job_expires_at", "job")
    op.drop_index("ix_job_finished_at", "job")
    op.drop_index("ix_job_counted", "job")
    op.drop_index("ix_job_finished", "job")
