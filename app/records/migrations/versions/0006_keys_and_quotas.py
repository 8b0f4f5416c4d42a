"""Last use and successor of keys; compute time by day; sums of stored bytes"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_SUMS = (
    ("model", ["tenant", "deleted_at", "job_id", "num_bytes"]),
    ("dataset", ["tenant", "deleted_at", "num_bytes"]),
    ("artifact", ["tenant", "num_bytes"]),
)


def upgrade() -> None:
    op.add_column("api_key", sa.Column("last_used_at", sa.Double(), nullable=True))
    op.add_column("api_key", sa.Column("replaced_by", sa.String(length=255), nullable=True))
    op.create_table(
        "compute_use",
        sa.Column("day", sa.Integer(), nullable=False),
        sa.Column("tenant", sa.String(length=255), nullable=False),
        sa.Column("seconds", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("day", "tenant"),
    )
    for table, columns in _SUMS:
        op.create_index(f"ix_{table}_stored", table, columns)


def downgrade() -> None:
    for table, _ in _SUMS:
        op.drop_index(f"ix_{table}_stored", table)
    op.drop_table("compute_use")
    with op.batch_alter_table("api_key", schema=None) as batch_op:
        batch_op.drop_column("replaced_by")
        batch_op.drop_column("last_used_at")
