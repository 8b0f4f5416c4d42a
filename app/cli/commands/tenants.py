"""``secateur tenants``, on the service's database."""

import typer
from rich.table import Table

from app.cli.client import AsJson
from app.cli.output import console, print_json
from app.cli.rows import open_rows
from app.contracts.settings import load_settings
from app.operators import service

app = typer.Typer(add_completion=False)

_MOST = 10_000


@app.command("tenants")
def tenants_command(*, as_json: AsJson = False) -> None:
    """List tenants with their keys, jobs, stored bytes and compute time of today."""
    undo_seconds = load_settings().retention.kept_deleted_seconds
    with open_rows() as sessions:
        found = service.page_of_tenants(sessions, "", _MOST, undo_seconds).data
    if as_json:
        print_json(found)
        return
    table = Table("tenant")
    for title in ("keys", "waiting", "running", "stored bytes", "compute seconds"):
        table.add_column(title, justify="right")
    for each in found:
        numbers = (each.num_keys, each.num_waiting, each.num_running, each.stored_bytes)
        table.add_row(each.id, *map(str, numbers), f"{each.compute_seconds:g}")
    console().print(table)
