"""Tags of models and data sets, examples of data sets, links to reports"""

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
    op.create_table(
        "share",
        sa.Column("id", sa.String(255), primary_key=True),
        sa.Column("tenant", sa.String(255), nullable=False),
        sa.Column("job_id", sa.String(255), sa.ForeignKey("job.id"), nullable=False),
        sa.Column("secret_sha256", sa.String(255), nullable=False),
        sa.Column("created_by", sa.String(255), nullable=True),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("expires_at", sa.Double(), nullable=False),
        sa.Column("revoked_at", sa.Double(), nullable=True),
    )
    op.create_index("ix_share_tenant", "share", ["tenant", "id"])
    op.create_index("ix_share_job_id", "share", ["job_id"])


def downgrade() -> None:
    op.drop_table("share")
    op.drop_column("dataset", "examples")
    for table in ("dataset", "model"):
        op.drop_column(table, "tags")
