"""Keys of events: a message of a job's process is written once, however often it is sent"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("event", sa.Column("key", sa.String(255), nullable=True))
    op.create_index("ix_event_key", "event", ["job_id", "key"], unique=True)


def downgrade() -> None:
    op.drop_index("ix_event_key", "event")
    op.drop_column("event", "key")
