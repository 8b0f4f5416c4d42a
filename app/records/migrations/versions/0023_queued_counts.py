"""Numbers of queued jobs by tenant, kept by triggers"""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0020"
branch_labels = None
depends_on = None

_NOTE = "INSERT INTO queued_change (queue, tenant, change) VALUES ({row}.queue, {row}.tenant, {by})"
_ENTER, _LEAVE = _NOTE.format(row="NEW", by="1"), _NOTE.format(row="OLD", by="-1")
_COLUMNS = ("state", "queue", "tenant")
_IS_CHANGE = " OR ".join(f"OLD.{name} <> NEW.{name}" for name in _COLUMNS)


def upgrade() -> None:
    op.create_table(
        "queued_change",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            primary_key=True,
            autoincrement=True,
        ),
        sa.Column("queue", sa.String(255), nullable=False),
        sa.Column("tenant", sa.String(255), nullable=False),
        sa.Column("change", sa.Integer(), nullable=False),
    )
    # The triggers come first: on PostgreSQL they lock the jobs until they are counted.
    if op.get_bind().dialect.name == "postgresql":
        _create_on_postgresql()
    else:
        _create_on_sqlite()
    op.execute(
        "INSERT INTO queued_change (queue, tenant, change)"
        " SELECT queue, tenant, count(*) FROM job WHERE state = 'queued' GROUP BY queue, tenant"
    )


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP TRIGGER job_queued_change ON job")
        op.execute("DROP TRIGGER job_queued_insert ON job")
        op.execute("DROP TRIGGER job_queued_delete ON job")
        op.execute("DROP FUNCTION note_queued_change()")
    else:
        for name in ("insert", "leave", "enter", "delete"):
            op.execute(f"DROP TRIGGER job_queued_{name}")
    op.drop_table("queued_change")


def _create_on_postgresql() -> None:
    op.execute(
        f"""
        CREATE OR REPLACE FUNCTION note_queued_change() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF TG_OP <> 'INSERT' AND OLD.state = 'queued' THEN {_LEAVE}; END IF;
            IF TG_OP <> 'DELETE' AND NEW.state = 'queued' THEN {_ENTER}; END IF;
            RETURN NULL;
        END $$
        """
    )
    call = "FOR EACH ROW {when} EXECUTE FUNCTION note_queued_change()"
    for name, event, when in (
        ("insert", "INSERT", "NEW.state = 'queued'"),
        ("change", f"UPDATE OF {', '.join(_COLUMNS)}", _IS_CHANGE),
        ("delete", "DELETE", "OLD.state = 'queued'"),
    ):
        row = call.format(when=f"WHEN ({when})")
        op.execute(f"CREATE TRIGGER job_queued_{name} AFTER {event} ON job {row}")


def _create_on_sqlite() -> None:
    update = f"UPDATE OF {', '.join(_COLUMNS)}"
    for name, event, when, note in (
        ("insert", "INSERT", "NEW.state = 'queued'", _ENTER),
        ("leave", update, f"OLD.state = 'queued' AND ({_IS_CHANGE})", _LEAVE),
        ("enter", update, f"NEW.state = 'queued' AND ({_IS_CHANGE})", _ENTER),
        ("delete", "DELETE", "OLD.state = 'queued'", _LEAVE),
    ):
        op.execute(
            f"CREATE TRIGGER job_queued_{name} AFTER {event} ON job WHEN {when} BEGIN {note}; END"
        )
