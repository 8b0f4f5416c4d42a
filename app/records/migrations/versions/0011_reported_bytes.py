"""Bytes of what each job's process reported, for the storage quota"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    column = sa.Column("reported_bytes", sa.BigInteger(), nullable=False, server_default="0")
    op.add_column("job", column)
    op.create_index("ix_job_reported", "job", ["tenant", "reported_bytes"])


def downgrade() -> None:
    op.drop_index("ix_job_reported", "job")
    op.drop_column("job", "reported_bytes")
