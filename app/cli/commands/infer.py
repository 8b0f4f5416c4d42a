"""``secateur infer``."""

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray
from rich.table import Table

from app.cli.client import LATEST, AsJson, Key, Url, fail_usage, service
from app.cli.examples import examples
from app.cli.names import resolve_job
from app.cli.output import console, print_json, say
from secateur import Client, Label, SecateurError
from secateur.options import Variant

app = typer.Typer(add_completion=False)

Array = NDArray[Any]

_ARRAYS = {".npy", ".npz"}
_MAX_PRINTED_VALUES = 1000  # numpy abbreviates longer arrays


@app.command(
    "infer",
    epilog=examples(
        "secateur infer camera cat.jpg dog.jpg",
        "secateur infer camera@1 batch.npy --out outputs.npy",
        "secateur infer latest cat.jpg --base",
        "secateur infer camera cat.jpg --int8",
    ),
)
def infer_command(  # noqa: PLR0913  # the command's options
    model: Annotated[
        str,
        typer.Argument(
            help="Model id, name, name@version or name@alias; or the id of a finished job.",
            metavar="MODEL",
        ),
    ],
    inputs: Annotated[
        list[Path],
        typer.Argument(help="Image files, or one .npy or .npz file.", metavar="INPUT..."),
    ],
    *,
    top_k: Annotated[int, typer.Option(help="Number of labels per image.")] = 5,
    base: Annotated[
        bool, typer.Option("--base", help="Run the dense model instead of the pruned one.")
    ] = False,
    int8: Annotated[
        bool, typer.Option("--int8", help="Run the int8 form of the pruned model.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="File for the outputs: .npy, or .npz if the input is .npz.")
    ] = None,
    as_json: AsJson = False,
    url: Url = None,
    key: Key = None,
) -> None:
    """Run a model on images or arrays.

    Images return labels. A .npy file returns the output; its first dimension is the batch. A .npz
    file with inputs by name returns all outputs by name.
    """
    are_arrays = [path.suffix in _ARRAYS for path in inputs]
    if any(are_arrays) and len(inputs) > 1:
        raise fail_usage("give one file of arrays: its first dimension is the batch")
    if base and int8:
        raise fail_usage("--base and --int8 are mutually exclusive")
    if out is not None and not any(are_arrays):
        raise fail_usage("--out applies to arrays; for the labels of images use --json")
    with service(url, key) as client:
        reference = _resolve_model(client, model)
        variant: Variant = "base" if base else "int8" if int8 else "pruned"
        if any(are_arrays):
            outputs = client.infer(reference, _load(inputs[0]), variant=variant)
            _show_outputs(outputs, out, is_json=as_json)
        else:
            with warnings.catch_warnings(record=True) as found:
                labels = client.infer_images(reference, inputs, top_k, variant=variant)
            for warning in found:
                say(f"note: {warning.message}", colour="yellow")
            _show_labels(inputs, labels, is_json=as_json)


def _resolve_model(client: Client, model: str) -> str:
    """Return the model reference. A job's id resolves to the model that it produced."""
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
        raise SecateurError(f"{path} does not hold numeric arrays: {error}") from error
    return found if isinstance(found, np.ndarray) else dict(found)


def _show_outputs(outputs: Array | Mapping[str, Array], out: Path | None, *, is_json: bool) -> None:
    by_name = {"outputs": outputs} if isinstance(outputs, np.ndarray) else dict(outputs)
    if out is not None:
        with out.open("wb") as file:
            if isinstance(outputs, np.ndarray):
                np.save(file, outputs, allow_pickle=False)
            else:
                np.savez(file, allow_pickle=False, **by_name)
        say(out, is_result=True)
    elif is_json:
        print_json({name: array.tolist() for name, array in by_name.items()})
    else:
        for name, array in by_name.items():
            say(f"{name}: {array.dtype}, {array.shape}", is_result=True)
            say(
                np.array2string(array, threshold=_MAX_PRINTED_VALUES, max_line_width=100),
                is_result=True,
            )


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
