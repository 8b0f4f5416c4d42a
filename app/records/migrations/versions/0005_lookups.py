"""Indexes for look-ups: jobs by id, objects by hash"""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_HASHES = (
    ("model", "sha256"),
    ("model", "onnx_sha256"),
    ("dataset", "sha256"),
    ("artifact", "sha256"),
)


def upgrade() -> None:
    op.drop_index("ix_job_tenant_created", "job")
    op.create_index("ix_job_tenant_kind", "job", ["tenant", "kind", "id"])
    for table, column in _HASHES:
        op.create_index(f"ix_{table}_{column}", table, [column])


def downgrade() -> None:
    for table, column in _HASHES:
        op.drop_index(f"ix_{table}_{column}", table)
    op.drop_index("ix_job_tenant_kind", "job")
    op.create_index("ix_job_tenant_created", "job", ["tenant", "kind", "created_at", "id"])
