"""``secateur workers``, on the service's database."""

from collections.abc import Sequence
from typing import Annotated

import typer
from rich.table import Table

from app.cli.client import AsJson
from app.cli.output import console, print_json
from app.cli.rows import open_rows
from app.operators import service
from app.operators.schemas import OperatedWorker

app = typer.Typer(
    help="List workers; cordon, drain or uncordon one.",
    invoke_without_command=True,
    add_completion=False,
)

Name = Annotated[
    str, typer.Argument(help="Name or id, as `secateur workers` lists them.", metavar="WORKER")
]


@app.callback()
def list_command(context: typer.Context, *, as_json: AsJson = False) -> None:
    """List workers; cordon, drain or uncordon one."""
    if context.invoked_subcommand is None:
        with open_rows() as sessions:
            _show(service.list_workers(sessions), is_json=as_json)


@app.command("cordon")
def cordon_command(worker: Name, *, as_json: AsJson = False) -> None:
    """Let a worker take no more jobs; those that it runs continue."""
    _use("cordon", worker, is_json=as_json)


@app.command("drain")
def drain_command(worker: Name, *, as_json: AsJson = False) -> None:
    """Let a worker take no more jobs, save those that it runs, and hand them back."""
    _use("drain", worker, is_json=as_json)


@app.command("uncordon")
def uncordon_command(worker: Name, *, as_json: AsJson = False) -> None:
    """Let a cordoned or drained worker take jobs again."""
    _use("uncordon", worker, is_json=as_json)


def _use(lever: str, worker: str, *, is_json: bool) -> None:
    with open_rows() as sessions:
        _show([service.use_worker_lever(sessions, lever, worker)], is_json=is_json)


def _show(found: Sequence[OperatedWorker], *, is_json: bool) -> None:
    if is_json:
        print_json(found)
        return
    table = Table("worker", "name", "queues", "device", "status", "running", "trouble")
    for each in found:
        running = f"{each.num_running} of {each.num_slots}"
        gpus = [f"{gpu.name}, {gpu.memory_bytes / 2**30:.0f} GiB" for gpu in each.gpus]
        device = "; ".join([each.device, *gpus])
        about = (each.id, each.name, " ".join(each.queues), device, each.status)
        table.add_row(*about, running, each.trouble or "")
    console().print(table)
