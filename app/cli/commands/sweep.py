"""``secateur sweep``."""

from pathlib import Path
from typing import Annotated, Any

import typer

from app.cli.client import AsJson, DataOrFile, Key, Url, fail_usage, reporting, service
from app.cli.config import parse_setting, parse_value
from app.cli.inputs import dataset_id, model_id, parse_json
from app.cli.output import console, print_json, sweep_table
from app.cli.progress import counting

app = typer.Typer(add_completion=False)


@app.command("sweep")
def sweep_command(  # noqa: PLR0913  # the command's options
    model: Annotated[
        Path,
        typer.Argument(
            help="A model's id or file; or the id of a sweep that is there, to show.",
            metavar="MODEL",
        ),
    ],
    data: DataOrFile = None,
    *,
    grid: Annotated[
        list[str] | None,
        typer.Option(
            metavar="/POINTER=VALUE,VALUE",
            help="Values to try, such as /selection/macs=0.5,0.25; once or more: the jobs are the "
            "cross product.",
        ),
    ] = None,
    config: Annotated[
        dict[str, Any] | None,
        typer.Option(
            parser=parse_json, metavar="JSON", help="What all jobs share, or a file with it."
        ),
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", "-w", help="Until all jobs have ended.")] = False,
    picture: Annotated[
        Path | None, typer.Option(help="Write the Pareto fronts here, as SVG.")
    ] = None,
    as_json: AsJson = False,
    url: Url = None,
    key: Key = None,
) -> None:
    """Prune in many ways, and compare what comes out.

    Posts a job for every point of a grid; the sweep's id goes to standard output. With the id of a
    sweep instead of a model it shows what became of that one.
    """
    is_known = str(model).startswith("swp_")
    if is_known == bool(grid):
        raise fail_usage("give a model and --grid, or the id of a sweep alone")
    with service(url, key) as client:
        if is_known:
            sweep = client.get_sweep(str(model))
        else:
            points = dict(parse_grid(line) for line in grid or [])
            ids = model_id(client, model), dataset_id(client, data, None)
            sweep = client.sweep(*ids, grid=points, config=config)
            if not as_json:
                typer.echo(sweep.id)
        if wait:
            goes_on = f"{sweep.id} goes on; secateur sweep {sweep.id} shows it"
            with reporting(goes_on), counting(sweep) as show:
                sweep = sweep.wait(on_progress=show)
        if picture is not None:
            picture.write_bytes(sweep.picture())
        if as_json:
            print_json(sweep)
        elif is_known or wait:
            console(is_result=is_known).print(sweep_table(sweep))
    if wait and sweep.status != "succeeded":
        raise typer.Exit(1)


def parse_grid(text: str) -> tuple[str, list[Any]]:
    """Return the pointer and the values of ``/selection/macs=0.5,0.25`` or ``/x=["a", "b"]``."""
    pointer, value = parse_setting(text)
    if isinstance(value, list):
        return pointer, value
    texts = text.partition("=")[2].split(",")
    return pointer, [parse_value(part) for part in texts]
