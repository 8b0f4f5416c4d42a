"""``secateur sweep``."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from app.cli.client import (
    AsJson,
    DataOrFile,
    Key,
    Url,
    fail_usage,
    reporting,
    service,
    usage_errors,
)
from app.cli.examples import examples
from app.cli.inputs import dataset_id, model_id, parse_json
from app.cli.output import console, print_failures, print_json, say, sweep_table
from app.cli.progress import counting
from app.contracts.config_options import parse_setting, parse_value

Train = Literal["auto", "front", "all"]

app = typer.Typer(add_completion=False)


@app.command(
    "sweep",
    epilog=examples(
        "secateur sweep camera fashion --grid /selection/macs=0.7,0.5,0.3 --wait",
        "secateur sweep swp_01JD0000000000000000000000",
    ),
)
def sweep_command(  # noqa: PLR0913  # the command's options
    model: Annotated[
        Path,
        typer.Argument(
            help="Model id, name or file; or the id of an existing sweep to show.",
            metavar="MODEL",
        ),
    ],
    data: DataOrFile = None,
    *,
    grid: Annotated[
        list[str] | None,
        typer.Option(
            metavar="/POINTER=VALUE,VALUE",
            help="Values to try, such as /selection/macs=0.5,0.25; repeatable. The sweep runs "
            "every combination.",
        ),
    ] = None,
    config: Annotated[
        dict[str, Any] | None,
        typer.Option(
            parser=parse_json, metavar="JSON", help="Config of all jobs, as JSON or a JSON file."
        ),
    ] = None,
    train: Annotated[
        Train,
        typer.Option(
            help="Points to train. front: repair and measure every point, and train those that no "
            "other beats. all: every point. auto: front if only criterion, selection or repair "
            "vary."
        ),
    ] = "auto",
    wait: Annotated[bool, typer.Option("--wait", "-w", help="Wait until all jobs end.")] = False,
    picture: Annotated[
        Path | None, typer.Option(help="File for the Pareto fronts, as SVG.")
    ] = None,
    as_json: AsJson = False,
    url: Url = None,
    key: Key = None,
) -> None:
    """Run one pruning job per grid point and compare the results.

    Prints the sweep's id on standard output. Given the id of a sweep instead of a model, shows its
    results.
    """
    is_known = str(model).startswith("swp_")
    if is_known == bool(grid):
        raise fail_usage("give a model and --grid, or only the id of a sweep")
    with service(url, key) as client:
        if is_known:
            sweep = client.get_sweep(str(model))
        else:
            points = dict(parse_grid(line) for line in grid or [])
            ids = model_id(client, model), dataset_id(client, data, None)
            sweep = client.sweep(*ids, grid=points, config=config, train=train)
            if not as_json:
                say(sweep.id, is_result=True)
        if wait:
            on_interrupt = f"{sweep.id} is still running; to show it: secateur sweep {sweep.id}"
            with reporting(on_interrupt), counting(sweep) as show:
                sweep = sweep.wait(on_progress=show)
        if as_json:
            print_json(sweep)
        elif is_known or wait:
            console(is_result=is_known).print(sweep_table(sweep))
            print_failures(sweep)
        if picture is not None:  # last: without results there is none, and the table says why
            picture.write_bytes(sweep.picture())
    if wait and sweep.status != "succeeded":
        raise typer.Exit(1)


def parse_grid(text: str) -> tuple[str, list[Any]]:
    """Parse ``/selection/macs=0.5,0.25`` or ``/x=["a", "b"]`` into pointer and values."""
    with usage_errors():
        pointer, value = parse_setting(text)
    if isinstance(value, list):
        return pointer, value
    texts = text.partition("=")[2].split(",")
    return pointer, [parse_value(part) for part in texts]
