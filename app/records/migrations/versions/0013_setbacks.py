"""Failures of the infrastructure: how many a job had, on which workers, and which worker has one"""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "job", sa.Column("num_setbacks", sa.Integer(), nullable=False, server_default="0")
    )
    op.add_column("job", sa.Column("avoided_owners", sa.Text(), nullable=True))
    op.add_column("worker", sa.Column("trouble", sa.Text(), nullable=True))


def downgrade() -> None:
    op.drop_column("worker", "trouble")
    op.drop_column("job", "avoided_owners")
    op.drop_column("job", "num_setbacks")
