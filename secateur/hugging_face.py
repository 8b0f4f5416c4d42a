"""Hugging Face Hub: fetch a model or a data set by its repository's name, publish a pruned model.

Runs on the client's side with the user's own access: ``huggingface_hub`` reads ``HF_TOKEN``, or
what ``hf auth login`` stored, and the token goes to the Hub alone. Needs
``pip install 'secateur[hub]'``. Nothing is unpickled: fetched files are sent to the service as
they are.
"""

import json
import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from secateur.core.formats import Use, suffixes
from secateur.errors import SecateurError
from secateur.jobs import Job
from secateur.model_card import write_card
from secateur.parquet_shards import join_shards

SOURCE = "hf_source"  # key in a job's metadata: the repository and commit that was pruned

_SCHEME = "hf:"
_KIND = "datasets/"
_MODELS = (".pt2", ".onnx")  # in order of preference
_SIDECARS = ("_data", ".data")  # where ONNX files keep large weights
_IMAGES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
_MOST_NAMED = 4
_CARD = "README.md"
_PUBLISHED = frozenset(
    {"model.onnx", "model_int8.onnx", "pruned.pt2", "weights.safetensors", "plan.json"}
    | {"report.html", "report.json"}
)
_URI = re.compile(
    r"hf:(?P<kind>datasets/)?(?P<repo>[\w.-]+/[\w.-]+)(@(?P<revision>[\w.-]+))?(/(?P<path>.+))?"
)


@dataclass(frozen=True)
class Place:
    """A repository on the Hub, at a revision, or a file or folder in it."""

    kind: Literal["model", "dataset"]
    repo: str
    revision: str | None
    path: str

    @property
    def name(self) -> str:
        """Name of the repository without its owner."""
        return self.repo.rpartition("/")[2]

    def __str__(self) -> str:
        kind = _KIND if self.kind == "dataset" else ""
        revision = f"@{self.revision}" if self.revision else ""
        return f"{_SCHEME}{kind}{self.repo}{revision}" + (f"/{self.path}" if self.path else "")


def is_uri(text: str) -> bool:
    """Return whether a text names something on the Hub: ``hf:owner/name``."""
    return text.startswith(_SCHEME) and len(text) > len(_SCHEME)


def is_dataset(text: str) -> bool:
    """Return whether a text names a data set on the Hub: ``hf:datasets/owner/name``."""
    return text.startswith(_SCHEME + _KIND)


def parse(uri: str) -> Place:
    """Return the place that a URI names.

    Args:
        uri: ``hf:OWNER/NAME`` or ``hf:datasets/OWNER/NAME``, then ``@REVISION`` and ``/PATH`` of a
            file or folder if wanted.

    Raises:
        SecateurError: The text is not such a URI.
    """
    found = _URI.fullmatch(uri)
    if found is None or ".." in uri.split("/"):
        raise SecateurError(
            f"{uri[:200]!r} is not hf:OWNER/NAME or hf:datasets/OWNER/NAME, with @REVISION and "
            "/PATH if wanted"
        )
    kind: Literal["model", "dataset"] = "dataset" if found["kind"] else "model"
    return Place(kind, found["repo"], found["revision"], (found["path"] or "").strip("/"))


def pinned(uri: str) -> str:
    """Return the URI at the commit that its revision means now.

    Raises:
        SecateurError: There is no such repository or revision, or the Hub cannot be reached.
    """
    place = parse(uri)
    with _explained(uri):
        from huggingface_hub import HfApi  # noqa: PLC0415  # optional

        found = HfApi().repo_info(place.repo, revision=place.revision, repo_type=place.kind)
    return str(Place(place.kind, place.repo, found.sha, place.path))


def has_file(uri: str) -> bool:
    """Return whether a repository of a model has a ``.pt2`` or ``.onnx`` file.

    Raises:
        SecateurError: There is no such repository, or the Hub cannot be reached.
    """
    place = parse(uri)
    return any(name.endswith(_MODELS) for name in _files(place))


@contextmanager
def fetched(uri: str) -> Iterator[Path]:
    """Download a model's file or a data set, and yield its path; it is removed at the end.

    A model is its ``.pt2`` file or, without one, its ``.onnx`` file. A data set is one file of a
    kind that the service takes, several Parquet files, which become one, or a folder of images.

    Raises:
        SecateurError: There is no such file, there are several, or the Hub cannot be reached.
    """
    place = parse(uri)
    with tempfile.TemporaryDirectory(prefix="secateur-") as folder:
        names = _files(place)
        chosen = _model_in(place, names) if place.kind == "model" else _data_in(place, names)
        with _explained(uri):
            from huggingface_hub import hf_hub_download, snapshot_download  # noqa: PLC0415

            if len(chosen) == 1:
                path = Path(
                    hf_hub_download(
                        place.repo,
                        chosen[0],
                        repo_type=place.kind,
                        revision=place.revision,
                        local_dir=folder,
                    )
                )
            else:
                snapshot_download(
                    place.repo,
                    repo_type=place.kind,
                    revision=place.revision,
                    local_dir=folder,
                    allow_patterns=[_literal(name) for name in chosen],
                )
                path = _whole(Path(folder), place, chosen)
        yield path


def publish(job: Job, repo: str, *, is_public: bool = False) -> str:
    """Upload the network of a finished job to a repository on the Hub, with a model card.

    A repository that is not there is created, private unless ``is_public``. In one that is there,
    the files of earlier networks are replaced, and the card keeps its text, its licence and its
    other metadata: only the section about the job is written anew. A new card takes the licence of
    the Hub's model that was pruned, if the job was started with one; otherwise it names none.

    Args:
        job: A job that has succeeded.
        repo: ``OWNER/NAME``.
        is_public: Whether a new repository can be read by everyone.

    Returns:
        The address of the repository.

    Raises:
        SecateurError: The job has no result, or the Hub or the service refuses.
    """
    result = job.result
    if result is None:
        raise SecateurError(f"job {job.id} is {job.status} and has no result")
    with tempfile.TemporaryDirectory(prefix="secateur-") as folder, _explained(repo):
        from huggingface_hub import HfApi  # noqa: PLC0415  # optional

        names = {file.name for file in result.artifacts}
        job.download(folder, sorted(names & _PUBLISHED))
        api = HfApi()
        address = str(api.create_repo(repo, private=not is_public, exist_ok=True))
        existing, source = _card(repo), job.metadata.get(SOURCE)
        base = _base_card(parse(source)) if source and not existing.strip() else None
        report = json.loads((Path(folder) / "report.json").read_text(encoding="utf-8"))
        card = write_card(result, report, repo, existing=existing, base=base)
        (Path(folder) / _CARD).write_text(card, encoding="utf-8")
        api.upload_folder(
            repo_id=repo,
            folder_path=folder,
            allow_patterns=[*_PUBLISHED, _CARD],
            delete_patterns=sorted(_PUBLISHED),  # an earlier network's int8 file is not this one's
            commit_message=f"Add the pruned network of {job.id}",
        )
    return address


def _base_card(base: Place) -> tuple[str, str]:
    """Return the repository that was pruned and its card."""
    return base.repo, _card(base.repo, base.revision)


def _card(repo: str, revision: str | None = None) -> str:
    """Return the text of a repository's card, or an empty text."""
    from huggingface_hub import hf_hub_download  # noqa: PLC0415  # optional
    from huggingface_hub.errors import EntryNotFoundError  # noqa: PLC0415  # optional

    with tempfile.TemporaryDirectory(prefix="secateur-") as folder:
        try:
            path = hf_hub_download(repo, _CARD, revision=revision, local_dir=folder)
        except EntryNotFoundError:
            return ""
        return Path(path).read_text(encoding="utf-8")


def _files(place: Place) -> list[str]:
    """Return the names of the files at a place."""
    with _explained(str(place)):
        from huggingface_hub import HfApi  # noqa: PLC0415  # optional

        names = HfApi().list_repo_files(place.repo, repo_type=place.kind, revision=place.revision)
    inside = f"{place.path}/"
    return sorted(n for n in names if not place.path or n == place.path or n.startswith(inside))


def _model_in(place: Place, names: Sequence[str]) -> list[str]:
    """Return the names of a model's file and of the files with its weights."""
    for suffix in _MODELS:
        found = [name for name in names if name.endswith(suffix)]
        usual = [name for name in found if PurePosixPath(name).name == f"model{suffix}"]
        chosen = found if len(found) == 1 else usual
        if len(chosen) == 1:
            return chosen + [name for name in names if name in _sidecars_of(chosen[0])]
        if found:
            raise SecateurError(f"{place} has several networks: {_choices(place, found)}")
    raise SecateurError(
        f"{place} has no .pt2 or .onnx file. Other files are not loaded, because they may run "
        "code: export the network with secateur.torch.push_module"
    )


def _sidecars_of(name: str) -> set[str]:
    return {name + ending for ending in _SIDECARS}


def _data_in(place: Place, names: Sequence[str]) -> list[str]:
    """Return the names of the files that are a data set."""
    use: Use = "dataset"
    found = [name for name in names if name.endswith(suffixes(use))]
    folders = {PurePosixPath(name).parent for name in found}
    if len(found) == 1:
        return found
    if found and len(folders) == 1 and all(name.endswith(".parquet") for name in found):
        return found
    if found:
        options = sorted({str(f) for f in folders}) if len(folders) > 1 else found
        raise SecateurError(f"{place} has several data sets: {_choices(place, options)}")
    images = [name for name in names if name.lower().endswith(_IMAGES)]
    if not images:
        raise SecateurError(
            f"{place} has no file of samples ({', '.join(suffixes(use))}) and no images"
        )
    return images


def _choices(place: Place, options: Sequence[str]) -> str:
    inside = Place(place.kind, place.repo, place.revision, "")
    more = f" or {len(options) - _MOST_NAMED} others" if len(options) > _MOST_NAMED else ""
    return "name one, " + ", ".join(f"{inside}/{name}" for name in options[:_MOST_NAMED]) + more


def _literal(name: str) -> str:
    """Return a glob that matches a name and nothing else."""
    return re.sub(r"([*?\[])", r"[\1]", name)


def _whole(folder: Path, place: Place, names: Sequence[str]) -> Path:
    """Return the one path that stands for several files."""
    if place.kind == "model":
        return folder / names[0]
    if names[0].endswith(".parquet"):
        target = folder / f"{place.name}.parquet"
        return join_shards([folder / name for name in names], target)
    return folder / place.path


@contextmanager
def _explained(what: str) -> Iterator[None]:
    """Turn the library's errors into ours."""
    try:
        yield
    except SecateurError:
        raise
    except ImportError as error:
        raise SecateurError(f"{what} needs {error.name}: pip install 'secateur[hub]'") from error
    except Exception as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        reason = next((line for line in lines if "Request ID" not in line), type(error).__name__)
        if type(error).__name__ == "HFValidationError":  # found before anything was sent
            raise SecateurError(f"{what} is no name of a repository: {reason}") from error
        raise SecateurError(
            f"the Hugging Face Hub refused {what}: {reason} For private and gated repositories, "
            "set HF_TOKEN or run hf auth login"
        ) from error
