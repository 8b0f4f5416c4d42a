"""Int8 files of models"""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("model", sa.Column("int8_sha256", sa.String(length=255), nullable=True))
    op.create_index("ix_model_int8_sha256", "model", ["int8_sha256"])


def downgrade() -> None:
    op.drop_index("ix_model_int8_sha256", table_name="model")
    op.drop_column("model", "int8_sha256")
