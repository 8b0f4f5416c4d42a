"""``secateur bench``."""

import json
import shlex
from pathlib import Path
from typing import Annotated

import typer

from app.cli.client import Key, Url, service
from app.cli.examples import examples
from app.cli.names import resolve_model
from app.cli.output import say

app = typer.Typer(add_completion=False)


@app.command(
    "bench",
    epilog=examples(
        "secateur bench resnet50 -o resnet50.bench --network resnet50.onnx",
    ),
)
def bench_command(
    model: Annotated[str, typer.Argument(help="Model id, name or `latest`.", metavar="MODEL")],
    *,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File to write. Default: NAME.bench.")
    ] = None,
    network: Annotated[
        Path | None,
        typer.Option(help="Also write the whole network as ONNX: predictions are better with it."),
    ] = None,
    url: Url = None,
    key: Key = None,
) -> None:
    """Write the layers of a model for a device to measure with secateur_bench.py."""
    with service(url, key) as client:
        found = client.bench(resolve_model(client, model))
        if network is not None:
            client.download_onnx(str(found["model"]), network)
    path = output or Path(f"{Path(str(found['name'])).name or 'model'}.bench")
    path.write_text(json.dumps(found), encoding="utf-8")
    say(str(path), is_result=True)
    more = "" if network is None else f" --network {shlex.quote(network.name)}"
    say(
        "On the device, with `secateur bench-script` beside it: "
        f"python secateur_bench.py {shlex.quote(path.name)}{more}"
    )
