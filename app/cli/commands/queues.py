"""``secateur queues``, on the service's database."""

from collections.abc import Sequence
from typing import Annotated

import typer
from rich.table import Table

from app.cli.client import AsJson
from app.cli.output import console, print_json
from app.cli.rows import open_rows
from app.operators import service
from app.operators.schemas import QueueState

app = typer.Typer(
    help="List queues; pause or resume one.", invoke_without_command=True, add_completion=False
)

Name = Annotated[str, typer.Argument(help="cpu, gpu or intake.", metavar="QUEUE")]


@app.callback()
def list_command(context: typer.Context, *, as_json: AsJson = False) -> None:
    """List queues; pause or resume one."""
    if context.invoked_subcommand is None:
        with open_rows() as sessions:
            _show(service.list_queue_states(sessions), is_json=as_json)


@app.command("pause")
def pause_command(queue: Name, *, as_json: AsJson = False) -> None:
    """Give out no jobs of a queue until it is resumed; running jobs continue."""
    with open_rows() as sessions:
        _show([service.use_queue_lever(sessions, "pause", queue)], is_json=as_json)


@app.command("resume")
def resume_command(queue: Name, *, as_json: AsJson = False) -> None:
    """Give out the jobs of a paused queue again."""
    with open_rows() as sessions:
        _show([service.use_queue_lever(sessions, "resume", queue)], is_json=as_json)


def _show(found: Sequence[QueueState], *, is_json: bool) -> None:
    if is_json:
        print_json(found)
        return
    table = Table("queue", "state", "paused at")
    for each in found:
        at = each.paused_at.strftime("%Y-%m-%dT%H:%M:%SZ") if each.paused_at else ""
        table.add_row(each.name, "paused" if at else "open", at)
    console().print(table)
