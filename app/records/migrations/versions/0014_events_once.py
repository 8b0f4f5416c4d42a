"""Keys of events, which are written once, and an index to count the jobs posted lately"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("event", sa.Column("key", sa.String(255), nullable=True))
    op.create_index("ix_event_key", "event", ["job_id", "key"], unique=True)
    op.create_index("ix_job_created", "job", ["created_at"])


def downgrade() -> None:
    op.drop_index("ix_job_created", "job")
    op.drop_index("ix_event_key", "event")
    op.drop_column("event", "key")
