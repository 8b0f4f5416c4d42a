"""``secateur bench-script``."""

from importlib.resources import files
from pathlib import Path
from typing import Annotated

import typer

from app.cli.examples import examples
from app.cli.output import say

_SCRIPT = "secateur_bench.py"

app = typer.Typer(add_completion=False)


@app.command("bench-script", epilog=examples("secateur bench-script"))
def bench_script_command(
    *,
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write.")] = Path(_SCRIPT),
) -> None:
    """Write the script that measures layers on a device; it needs numpy and a runtime there."""
    output.write_bytes(files("secateur").joinpath(_SCRIPT).read_bytes())
    say(str(output), is_result=True)
