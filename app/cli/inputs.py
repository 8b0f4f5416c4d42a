"""Resolve arguments that are an id, a name or a file. Files are uploaded with a progress bar."""

import difflib
import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, get_args

import typer

from app.cli.named import exported
from app.cli.names import resolve_dataset, resolve_model
from app.cli.output import say
from app.cli.progress import sending
from app.cli.stored import find_dataset, find_model
from secateur import Client, Dataset, Model, SecateurError, hugging_face, mlflow_registry
from secateur.core.file_kinds import FILE_SUFFIXES
from secateur.core.folders import pack_folder
from secateur.core.urls import find_url
from secateur.options import ModelOptions, Preprocess, Preset
from secateur.pretrained import is_name

PRESETS: tuple[Preset, ...] = get_args(Preset)
NOT_GIVEN = "no preprocessing was given"


def push_model(client: Client, path: Path, options: ModelOptions) -> Model:
    """Upload a model, wait for the intake and print its size.

    Args:
        client: The service's client.
        path: A file, the name of a library's network, such as ``timm/resnet50``, a repository on
            the Hugging Face Hub, or a version in MLflow, such as ``models:/shapes/3``.
        options: See `ModelOptions`.

    Raises:
        SecateurError: There is no such file or network, or the service rejects it.
    """
    if (url := find_url(path)) is not None:
        say(f"The service fetches {path.name} …")
        model = client.push(url, **options)
        _say_ready(model)
        return model
    if _is_file_of_hub(path):
        say(f"Downloading {path} …")
        with hugging_face.fetched(str(path)) as file:
            options_of_repo: ModelOptions = {"name": hugging_face.parse(str(path)).name}
            return push_model(client, file, options_of_repo | options)
    if is_name(str(path)) and not path.exists():
        with exported(str(path)) as file:
            return push_model(client, file, options)
    if mlflow_registry.is_uri(str(path)):
        version = mlflow_registry.resolve(str(path))
        with mlflow_registry.fetched(version) as file:
            named: ModelOptions = {"name": mlflow_registry.name_of(version)}
            return push_model(client, file, named | options)
    with sending(_existing(path)) as show:
        model = client.push(path, on_progress=show, **options)
    _say_ready(model)
    return model


def _say_ready(model: Model) -> None:
    size = f"{model.num_parameters:,} parameters, {model.macs:,} MACs"
    say(f"{model.name} version {model.version} is ready: {size}")


def push_dataset(
    client: Client, path: Path, name: str | None, preprocess: Preprocess | None
) -> Dataset:
    """Upload a data set, wait for the intake and print its summary.

    Raises:
        SecateurError: There is no such file, or the service rejects it.
    """
    if (url := find_url(path)) is not None:
        say(f"The service fetches {path.name} …")
        data = client.push_dataset(url, name=name, preprocess=preprocess)
    elif hugging_face.is_dataset(str(path)) and not path.exists():
        say(f"Downloading {path} …")
        with hugging_face.fetched(str(path)) as file:
            return push_dataset(
                client, file, name or hugging_face.parse(str(path)).name, preprocess
            )
    else:
        with _packed(_existing(path)) as file, sending(file) as show:
            data = client.push_dataset(file, name=name, preprocess=preprocess, on_progress=show)
    num_samples = (data.summary or {}).get("num_samples")
    what = f"{num_samples:,} samples" if isinstance(num_samples, int) else data.format
    say(f"{data.name} is ready: {what}")
    print_preprocessing(data)
    return data


def print_preprocessing(data: Dataset) -> None:
    """Print a data set's preprocessing, the resulting range of values, and its warnings."""
    spec, seen = data.preprocess, (data.summary or {}).get("network_sees")
    how = spec.get("preset") or f"mean {spec.get('mean')}, std {spec.get('std')}"
    if NOT_GIVEN in " ".join(data.warnings):
        how = "none"
    say(f"preprocessing: {how}" + (f"; {_format_range(seen)}" if seen else ""))
    for warning in data.warnings:
        say(f"note: {warning}", colour="yellow")


def _format_range(seen: Mapping[str, float]) -> str:
    return (
        f"the network sees values from {seen['min']:.3g} to {seen['max']:.3g}, "
        f"mean {seen['mean']:.3g}, std {seen['std']:.3g}"
    )


def model_id(client: Client, given: Path, name: str | None = None) -> str:
    """Return a model's id, uploading it first if a file is given that is not stored yet."""
    if is_reference(given):
        return resolve_model(client, str(given), is_uploaded=True)  # the service finds it by name
    found = find_model(client, given, name) if given.exists() else None
    if found is not None:
        say(f"{given} is stored already: {found.name} version {found.version} ({found.id})")
        return found.id
    return push_model(client, given, {"name": name} if name else {}).id


def pin_version(model: Path) -> tuple[Path, dict[str, str]]:
    """Return a model of MLflow or the Hub with its version, and a job's metadata that names it.

    Other models are returned as they are, without metadata.

    Raises:
        SecateurError: MLflow or the Hub cannot be reached or has no such version.
    """
    if hugging_face.is_uri(str(model)) and not model.exists():
        pinned = hugging_face.pinned(str(model))
        return Path(pinned), {hugging_face.SOURCE: pinned}
    if not mlflow_registry.is_uri(str(model)):
        return model, {}
    version = mlflow_registry.resolve(str(model))
    return Path(version), {mlflow_registry.SOURCE: version}


def dataset_id(client: Client, given: Path | None, preprocess: Preprocess | None) -> str | None:
    """Return a data set's id, uploading it first if a file is given that is not stored yet.

    Raises:
        SecateurError: ``preprocess`` is given for a data set that is stored already.
    """
    if given is None or is_reference(given):
        if preprocess is not None:
            raise SecateurError(
                "--preprocess applies to a file to upload: a stored data set keeps its own"
            )
        if given is None:
            return None
        found = client.get_dataset(resolve_dataset(client, str(given)))
        print_preprocessing(found)
        return found.id
    if find_url(given) is not None or hugging_face.is_dataset(str(given)):
        return push_dataset(client, given, None, preprocess).id
    with _packed(_existing(given)) as path:
        stored = find_dataset(client, path, preprocess)
        if stored is not None:
            say(f"{given} is stored already: {stored.name} ({stored.id})")
            print_preprocessing(stored)
            return stored.id
        return push_dataset(client, path, None, preprocess).id


def is_reference(given: Path) -> bool:
    """Return whether the argument is an id or a name: neither a file nor named like one."""
    return not given.exists() and len(given.parts) == 1 and given.suffix not in FILE_SUFFIXES


def parse_preprocess(text: str) -> Preprocess:
    """Return a preset's name, or preprocessing parsed from JSON or a JSON file.

    Raises:
        typer.BadParameter: The text is none of these.
    """
    if text in PRESETS:
        return text
    if text.lstrip().startswith("{") or "." in text or Path(text).is_file():
        return parse_json(text)
    alike = difflib.get_close_matches(text.lower(), PRESETS, 1)
    meant = f"; did you mean {alike[0]}?" if alike else ";"
    raise typer.BadParameter(
        f"{text[:80]!r} is not a preset{meant} use JSON or one of {', '.join(PRESETS)}"
    )


def parse_json(text: str) -> dict[str, Any]:
    """Return the JSON object in the text, or in the file that it names.

    Raises:
        typer.BadParameter: The file cannot be read, or does not hold a JSON object.
    """
    is_file = not text.lstrip().startswith("{")
    try:
        found = json.loads(Path(text).read_text(encoding="utf-8-sig") if is_file else text)
    except OSError as error:
        raise typer.BadParameter(f"{text!r}: {error.strerror}") from error
    except ValueError as error:
        raise typer.BadParameter(f"{text[:80]!r} is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise typer.BadParameter(f"{text[:80]!r} is not a JSON object")
    return found


@contextmanager
def _packed(path: Path) -> Iterator[Path]:
    """Yield the path of a file, or of a temporary zip of a folder with images."""
    with tempfile.TemporaryDirectory(prefix="secateur-") as folder:
        if path.is_dir():
            say(f"Packing the files of {path} …")
        yield pack_folder(path, Path(folder))


def _is_file_of_hub(path: Path) -> bool:
    """Return whether a path names a model's file on the Hub; other networks need timm."""
    return hugging_face.is_uri(str(path)) and not path.exists() and hugging_face.has_file(str(path))


def _existing(path: Path) -> Path:
    if not path.exists():
        library = (
            f"; a published network is named with its library, such as timm/{path}"
            if len(path.parts) == 1 and not path.suffix
            else ""
        )
        raise SecateurError(f"{str(path)!r} is neither a known id nor an existing file{library}")
    return path
