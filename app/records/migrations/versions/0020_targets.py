"""Export targets of workers"""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("worker", sa.Column("targets", sa.JSON(), nullable=False, server_default="[]"))


def downgrade() -> None:
    op.drop_column("worker", "targets")
