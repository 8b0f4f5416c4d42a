"""The formats of model files and data set files, one record each.

The client, the command line, the service, the worker and the dashboard take names, suffixes and
first bytes from here. `worker.pipeline.job.model_files` and `worker.pipeline.data.opening` have one
reader for each name. `file_kinds` adds the kinds that are refused.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Use = Literal["model", "dataset"]
ModelFormatName = Literal["pt2", "safetensors", "onnx"]
DatasetFormatName = Literal["npz", "zip", "tar", "parquet"]

ZIP = r"PK\x03\x04"  # the first bytes of a zip


@dataclass(frozen=True)
class Look:
    """How to recognise a file. It must match both ``head`` and ``members`` if both are given.

    Patterns use only what Python and JavaScript both support, on bytes decoded as Latin-1.

    Attributes:
        what: A noun phrase that completes "FILE is".
        advice: What to do if the file is sent as something else.
        head: A pattern that matches the first bytes.
        members: A pattern to search in the names inside a zip or a folder, one per line.
    """

    what: str
    advice: str = ""
    head: str = ""
    members: str = ""


@dataclass(frozen=True)
class Format:
    """A file format that the service supports.

    Attributes:
        name: The format's name in rows, requests, reports and the API.
        taken: A noun phrase for the sentence that lists the supported files.
        suffixes: File name suffixes, the usual one first.
        looks: One or more ways to recognise its files.
    """

    name: str
    taken: str
    suffixes: tuple[str, ...]
    looks: tuple[Look, ...]


@dataclass(frozen=True)
class ModelFormat(Format):
    """A format of model files.

    Attributes:
        needs_architecture: Whether the file contains only weights, so that the user must name the
            architecture.
    """

    needs_architecture: bool = False


@dataclass(frozen=True)
class DatasetFormat(Format):
    """A format of data set files.

    Attributes:
        holds_images: Whether samples are image files, with values from 0 to 255.
    """

    holds_images: bool = True


MODEL_FORMATS: dict[ModelFormatName, ModelFormat] = {
    "pt2": ModelFormat(
        "pt2",
        "a .pt2 file (torch.export.export, then torch.export.save)",
        (".pt2",),
        (
            Look(
                "an exported PyTorch program",
                head=ZIP,
                members=r"(^|\n)[^/\n]+/(models/[^/\n]+\.json|data/weights/weight_\d+)(\n|$)",
            ),
        ),
    ),
    "safetensors": ModelFormat(
        "safetensors",
        "a .safetensors file with the name of its torchvision or timm architecture",
        (".safetensors",),
        (Look("weights (.safetensors)", head=r"[^]{6}\x00\x00\{"),),
        needs_architecture=True,
    ),
    "onnx": ModelFormat(
        "onnx",
        "an .onnx file, or a zip with it and the files of its weights",
        (".onnx",),
        (
            Look(
                "a zip with an ONNX network",
                head=ZIP,
                members=r"(^|\n)([^/\n]+/)?[^/\n]+\.onnx(\n|$)",
            ),
            Look(
                "an ONNX network",
                head=r"\x08[\x03-\x1f]([\x12\x1a\x22][\x00-\x7f][ -~]*|[\x28\x32\x3a\x42])",
            ),
        ),
    ),
}

DATASET_FORMATS: dict[DatasetFormatName, DatasetFormat] = {
    "npz": DatasetFormat(
        "npz",
        "a .npz file with x and y",
        (".npz",),
        (Look("arrays of numbers (.npz)", head=ZIP, members=r"^[^\n]+\.npy(\n|$)"),),
        holds_images=False,
    ),
    "zip": DatasetFormat(
        "zip",
        "a .zip of class folders of images",
        (".zip",),
        (
            Look(
                "a zip archive",
                "If the model is inside, unpack it and send the .pt2 file alone.",
                head=ZIP,
            ),
        ),
    ),
    "tar": DatasetFormat(
        "tar",
        "a .tar or .tar.gz of them",
        (".tar", ".tgz", ".gz"),
        (
            Look(
                "a tar archive",
                "If it is an unpacked model's folder, send the .pt2 file instead.",
                head=r"[^]{257}ustar",
            ),
            Look("a gzip file", "Unpack it, and send its contents.", head=r"\x1f\x8b"),
        ),
    ),
    "parquet": DatasetFormat(
        "parquet",
        "a .parquet file with image bytes",
        (".parquet",),
        (Look("a Parquet file", head=r"PAR1"),),
    ),
}

FORMATS: dict[Use, tuple[Format, ...]] = {
    "model": tuple(MODEL_FORMATS.values()),
    "dataset": tuple(DATASET_FORMATS.values()),
}


def suffixes(use: Use) -> tuple[str, ...]:
    """Return all suffixes of the formats of a use."""
    return tuple(suffix for each in FORMATS[use] for suffix in each.suffixes)


def usual_suffixes(use: Use) -> str:
    """Return the usual suffixes of a use as text: ``.npz, .zip, .tar or .parquet``."""
    return alternatives(each.suffixes[0] for each in FORMATS[use])


def alternatives(words: Iterable[str]) -> str:
    """Join words with commas and an "or" before the last."""
    *first, last = words
    return f"{', '.join(first)} or {last}" if first else last


def needs_architecture(name: str) -> bool:
    """Return whether models of the named format need the name of their architecture."""
    return any(each.name == name and each.needs_architecture for each in MODEL_FORMATS.values())
