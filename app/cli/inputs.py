"""Arguments that are an id or a file: a file is uploaded, with a bar, and its id comes back."""

import difflib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import typer

from app.cli.progress import sending
from secateur import Client, Dataset, Model, SecateurError
from secateur.core.file_kinds import FILE_SUFFIXES
from secateur.options import ModelOptions, Preprocess, Preset

PRESETS: tuple[Preset, ...] = get_args(Preset)
NOT_GIVEN = "no preprocessing was given"


def push_model(client: Client, path: Path, options: ModelOptions) -> Model:
    """Upload a model, wait for the intake, and say what it is."""
    with sending(_existing(path)) as show:
        model = client.push(path, on_progress=show, **options)
    size = f"{model.num_parameters:,} parameters, {model.macs:,} MACs"
    typer.secho(f"{model.name} version {model.version} is ready: {size}", err=True)
    return model


def push_dataset(
    client: Client, path: Path, name: str | None, preprocess: Preprocess | None
) -> Dataset:
    """Upload samples, wait for the intake, and say what they are."""
    with sending(_existing(path)) as show:
        data = client.push_dataset(path, name=name, preprocess=preprocess, on_progress=show)
    num_samples = (data.summary or {}).get("num_samples")
    what = f"{num_samples:,} samples" if isinstance(num_samples, int) else data.format
    typer.secho(f"{data.name} is ready: {what}", err=True)
    tell_preprocess(data)
    return data


def tell_preprocess(data: Dataset) -> None:
    """Say how the pixels of a data set become inputs, and what is to be known of it."""
    spec, seen = data.preprocess, (data.summary or {}).get("network_sees")
    how = spec.get("preset") or f"mean {spec.get('mean')}, std {spec.get('std')}"
    if NOT_GIVEN in " ".join(data.warnings):
        how = "none"
    typer.secho(f"preprocessing: {how}" + (f"; {_seen_text(seen)}" if seen else ""), err=True)
    for warning in data.warnings:
        typer.secho(f"note: {warning}", fg="yellow", err=True)


def _seen_text(seen: Mapping[str, float]) -> str:
    return (
        f"the network sees values from {seen['min']:.3g} to {seen['max']:.3g}, "
        f"mean {seen['mean']:.3g}, std {seen['std']:.3g}"
    )


def model_id(client: Client, given: Path, name: str | None = None) -> str:
    """Return a model's id; a file is uploaded first."""
    if is_reference(given):
        return client.get_model(str(given)).id
    return push_model(client, given, {"name": name} if name else {}).id


def dataset_id(client: Client, given: Path | None, preprocess: Preprocess | None) -> str | None:
    """Return a data set's id; a file is uploaded first."""
    if given is None or is_reference(given):
        if preprocess is not None:
            raise SecateurError("--preprocess goes with a file: a data set has its own")
        if given is None:
            return None
        found = client.get_dataset(str(given))
        tell_preprocess(found)
        return found.id
    return push_dataset(client, given, None, preprocess).id


def is_reference(given: Path) -> bool:
    """Return whether this is an id or a name: no file is there, and it is not named like one."""
    return not given.exists() and len(given.parts) == 1 and given.suffix not in FILE_SUFFIXES


def parse_preprocess(text: str) -> Preprocess:
    """Return a preset, or what JSON (or a file with it) says."""
    if text in PRESETS:
        return text
    if text.lstrip().startswith("{") or "." in text or Path(text).is_file():
        return parse_json(text)
    alike = difflib.get_close_matches(text.lower(), PRESETS, 1)
    meant = f": did you mean {alike[0]}?" if alike else ";"
    raise typer.BadParameter(f"{text[:80]!r}{meant} it takes JSON, or {', '.join(PRESETS)}")


def parse_json(text: str) -> dict[str, Any]:
    """Return the JSON object that an option holds, or the file that it names."""
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


def _existing(path: Path) -> Path:
    if not path.exists():
        raise SecateurError(f"{str(path)!r} is neither an id nor a file that is there")
    return path
