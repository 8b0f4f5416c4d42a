"""``secateur push-latencies``."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from app.cli.client import AsJson, Key, Url, service
from app.cli.examples import examples
from app.cli.output import print_json, say

app = typer.Typer(add_completion=False)


@app.command(
    "push-latencies",
    epilog=examples("secateur push-latencies latencies.csv --name raspberry-pi-4"),
)
def push_latencies_command(
    path: Annotated[
        Path, typer.Argument(help="CSV file that secateur_bench.py wrote.", metavar="FILE")
    ],
    *,
    name: Annotated[
        str | None, typer.Option(help="Name of the device. Default: the file's name.")
    ] = None,
    as_json: AsJson = False,
    url: Url = None,
    key: Key = None,
) -> None:
    """Upload latencies that a device measured, to prune for that device.

    Prints the id on standard output.
    """
    if not path.is_file():
        raise typer.BadParameter(f"{path} is not a file")
    with service(url, key) as client:
        found = client.push_latencies(path, name=name)
    if as_json:
        print_json(found)
        return
    say(found.id, is_result=True)
    target = shlex.quote(f"/selection/target={found.name}")
    say(
        f"{found.num_rows} rows of {found.device}, {found.runtime} {found.runtime_version}. To use "
        f"them: secateur prune MODEL --latency 0.5 --set {target}"
    )
