"""Tags of models and data sets, examples of data sets"""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for table in ("model", "dataset"):
        op.add_column(table, sa.Column("tags", sa.JSON(), nullable=False, server_default="[]"))
    op.add_column("dataset", sa.Column("examples", sa.JSON(), nullable=True))


def downgrade() -> None:
    op.drop_column("dataset", "examples")
    for table in ("dataset", "model"):
        op.drop_column(table, "tags")
