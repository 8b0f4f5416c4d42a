"""Entry point of Alembic; runs on the connection that `upgrade` passes in."""

from alembic import context

from app.records.tables import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,  # SQLite cannot alter columns in place
)
context.run_migrations()
