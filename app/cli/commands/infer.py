"""``secateur infer``."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray
from rich.table import Table

from app.cli.client import LATEST, AsJson, Key, Url, fail_usage, resolve_job, service
from app.cli.output import console, print_json
from secateur import Client, Label, SecateurError
from secateur.options import Variant

app = typer.Typer(add_completion=False)

Array = NDArray[Any]

_ARRAYS = {".npy", ".npz"}
_SHOWN = 1000  # values of an array, before numpy leaves some out


@app.command("infer")
def infer_command(  # noqa: PLR0913  # the command's options
    model: Annotated[
        str,
        typer.Argument(
            help="A model's id, name, name@version or name@alias; or a finished job's id.",
            metavar="MODEL",
        ),
    ],
    inputs: Annotated[
        list[Path],
        typer.Argument(help="Image files, or one .npy or .npz file.", metavar="INPUT..."),
    ],
    *,
    top_k: Annotated[int, typer.Option(help="Labels for each image.")] = 5,
    base: Annotated[
        bool, typer.Option("--base", help="Run the model that it was pruned from.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="Write outputs here: .npy, or .npz for a .npz file.")
    ] = None,
    as_json: AsJson = False,
    url: Url = None,
    key: Key = None,
) -> None:
    """Run a model on image files or on arrays.

    Images give labels. A .npy file, whose first dimension is the batch, gives the output; a .npz
    file with the inputs by name gives all outputs by name.
    """
    are_arrays = [path.suffix in _ARRAYS for path in inputs]
    if any(are_arrays) and len(inputs) > 1:
        raise fail_usage("one file of arrays at a time: their first dimension is the batch")
    if out is not None and not any(are_arrays):
        raise fail_usage("--out is for the outputs of arrays; images give labels: use --json")
    with service(url, key) as client:
        asked = _of_job(client, model)
        variant: Variant = "base" if base else "pruned"
        if any(are_arrays):
            outputs = client.infer(asked, _load(inputs[0]), variant=variant)
            _show_outputs(outputs, out, is_json=as_json)
        else:
            labels = client.infer_images(asked, inputs, top_k, variant=variant)
            _show_labels(inputs, labels, is_json=as_json)


def _of_job(client: Client, model: str) -> str:
    """Return by what a model is asked for; a job stands for what it made."""
    if not model.startswith("job_") and model != LATEST:
        return model
    job = client.get_job(resolve_job(client, model))
    if job.result is None:
        raise SecateurError(f"job {job.id} is {job.status} and has no result")
    return job.result.model


def _load(path: Path) -> Array | dict[str, Array]:
    try:
        found = np.load(path, allow_pickle=False)
    except ValueError as error:
        raise SecateurError(f"{path} is no file of arrays of numbers: {error}") from error
    return found if isinstance(found, np.ndarray) else dict(found)


def _show_outputs(outputs: Array | Mapping[str, Array], out: Path | None, *, is_json: bool) -> None:
    by_name = {"outputs": outputs} if isinstance(outputs, np.ndarray) else dict(outputs)
    if out is not None:
        with out.open("wb") as file:
            if isinstance(outputs, np.ndarray):
                np.save(file, outputs, allow_pickle=False)
            else:
                np.savez(file, allow_pickle=False, **by_name)
        typer.echo(out)
    elif is_json:
        print_json({name: array.tolist() for name, array in by_name.items()})
    else:
        for name, array in by_name.items():
            typer.echo(f"{name}: {array.dtype}, {array.shape}")
            typer.echo(np.array2string(array, threshold=_SHOWN, max_line_width=100))


def _show_labels(paths: Sequence[Path], found: Sequence[Sequence[Label]], *, is_json: bool) -> None:
    if is_json:
        named = zip(paths, found, strict=True)
        print_json(
            [
                {"file": str(path), "labels": [label.model_dump() for label in labels]}
                for path, labels in named
            ]
        )
        return
    table = Table("image", "label", "score")
    for path, labels in zip(paths, found, strict=True):
        for index, label in enumerate(labels):
            table.add_row(path.name if index == 0 else "", label.label, f"{label.score:.4f}")
    console().print(table)
