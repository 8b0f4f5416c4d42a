"""Names, tags and goals of jobs; jobs that a user deleted"""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("job", sa.Column("name", sa.String(length=255), nullable=True))
    op.add_column("job", sa.Column("tags", sa.JSON(), nullable=False, server_default="[]"))
    op.add_column("job", sa.Column("goal", sa.String(length=255), nullable=True))
    op.add_column("job", sa.Column("deleted_at", sa.Double(), nullable=True))
    op.create_index("ix_job_deleted", "job", ["deleted_at"])


def downgrade() -> None:
    op.drop_index("ix_job_deleted", table_name="job")
    op.drop_column("job", "deleted_at")
    op.drop_column("job", "goal")
    op.drop_column("job", "tags")
    op.drop_column("job", "name")
