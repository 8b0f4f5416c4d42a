"""MLflow's model registry: fetch a model to prune, and register the pruned one.

Runs on the client's side with the user's own access to MLflow (``MLFLOW_TRACKING_URI`` and its
credentials, which MLflow reads). Needs ``pip install 'secateur[mlflow]'``. Nothing is unpickled:
fetched files are sent to the service as they are, and the pruned network is registered as ONNX.
"""

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from secateur.errors import SecateurError
from secateur.jobs import Job
from secateur.tracking import epoch_numbers, figures, flat
from secateur.types import JobResult

SOURCE = "mlflow_source"  # key in a job's metadata: the version that was pruned

_SCHEME = "models:/"
_FILES = ("*.pt2", "*.onnx")  # in order of preference
_ONNX = "model.onnx"
_REPORTS = frozenset({"report.html", "report.json"})
_REFUSED = re.compile(r"[^\w\-. :/]")  # characters that MLflow refuses in a metric's name
_MOST_TAG_CHARACTERS = 5000


def is_uri(text: str) -> bool:
    """Return whether a text names a model in the registry: ``models:/shapes@champion``."""
    return text.startswith(_SCHEME) and len(text) > len(_SCHEME)


def resolve(uri: str) -> str:
    """Return the version that a URI means now: ``models:/shapes/3``.

    Args:
        uri: ``models:/NAME@ALIAS``, ``models:/NAME/VERSION`` or ``models:/NAME/latest``.

    Raises:
        SecateurError: MLflow is not installed or cannot be reached, or there is no such version.
    """
    name, alias, version = _split(uri)
    with _explained(uri):
        from mlflow import MlflowClient  # noqa: PLC0415  # optional

        client = MlflowClient()
        if alias:
            version = client.get_model_version_by_alias(name, alias).version
        elif version == "latest":
            found = client.search_model_versions(f"name = '{name}'")
            if not found:
                raise SecateurError(f"MLflow has no version of {name!r}")
            version = max((one.version for one in found), key=int)
        else:
            version = client.get_model_version(name, version).version
    return f"{_SCHEME}{name}/{version}"


def name_of(uri: str) -> str:
    """Return the registered model's name in a URI."""
    return _split(uri)[0]


@contextmanager
def fetched(uri: str) -> Iterator[Path]:
    """Download a registered model's file and yield its path; it is removed at the end.

    Raises:
        SecateurError: MLflow cannot be reached, or the model has neither a ``.pt2`` file (flavour
            pytorch with ``export_model=True``) nor an ``.onnx`` file.
    """
    with tempfile.TemporaryDirectory(prefix="secateur-") as folder:
        with _explained(uri):
            import mlflow  # noqa: PLC0415  # optional

            mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=folder)
        found = [path for pattern in _FILES for path in sorted(Path(folder).rglob(pattern))]
        if not found:
            raise SecateurError(
                f"{uri} has no .pt2 or .onnx file. Pickled networks are not loaded: log the model "
                "with mlflow.onnx.log_model, or with mlflow.pytorch.log_model and "
                "export_model=True"
            )
        yield _in_one_file(found[0])


def _in_one_file(path: Path) -> Path:
    """Return an ONNX file with the weights that MLflow keeps beside it."""
    if path.suffix != ".onnx":
        return path
    import onnx  # noqa: PLC0415  # optional

    whole = path.with_name(f"whole-{path.name}")
    onnx.save(onnx.load(str(path)), str(whole))
    return whole


def register(job: Job, name: str, *, alias: str | None = None) -> str:
    """Log a finished job as an MLflow run and register its network as a new version.

    The run has the job's config as parameters, the curves of its training and the quality, size
    and speed of the dense and the pruned network as metrics, and the report as artifacts. Tags of
    the version name the job, the version it was pruned from, the verdict and the certificate.

    Args:
        job: A job that has succeeded.
        name: Name of the registered model; created if it does not exist.
        alias: Alias to point at the new version, such as ``champion``.

    Returns:
        The new version's URI, ``models:/NAME/VERSION``.

    Raises:
        SecateurError: The job has no result, or MLflow or the service cannot be reached.
    """
    result = job.result
    if result is None:
        raise SecateurError(f"job {job.id} is {job.status} and has no result")
    with tempfile.TemporaryDirectory(prefix="secateur-") as folder, _explained(name):
        import mlflow  # noqa: PLC0415  # optional
        import onnx  # noqa: PLC0415  # optional

        names = {file.name for file in result.artifacts}
        job.download(folder, sorted(names & {_ONNX, *_REPORTS}))
        with mlflow.start_run(run_name=job.id, tags=_tags(job, result)):
            mlflow.log_params(dict(flat(job.resolved or job.config)))
            _log_curves(job)
            mlflow.log_metrics(figures(result))
            for report in sorted(names & _REPORTS):
                mlflow.log_artifact(str(Path(folder) / report))
            logged = mlflow.onnx.log_model(
                onnx.load(str(Path(folder) / _ONNX)),
                name="model",
                metadata={"secateur_job": job.id},
                save_as_external_data=False,
            )
        version = mlflow.register_model(logged.model_uri, name, tags=_tags(job, result)).version
        if alias:
            mlflow.MlflowClient().set_registered_model_alias(name, alias, version)
    return f"{_SCHEME}{name}/{version}"


def _split(uri: str) -> tuple[str, str, str]:
    """Return name, alias and version; one of the last two is empty."""
    rest = uri.removeprefix(_SCHEME)
    if "@" in rest:
        name, _, alias = rest.rpartition("@")
        return name, alias, ""
    name, _, version = rest.rpartition("/")
    if not name:
        raise SecateurError(
            f"{uri} names no version: write {uri}@ALIAS, {uri}/VERSION or {uri}/latest"
        )
    return name, "", version


@contextmanager
def _explained(what: str) -> Iterator[None]:
    """Turn MLflow's errors into ours."""
    try:
        yield
    except SecateurError:
        raise
    except ImportError as error:
        raise SecateurError(f"{what} needs MLflow: pip install 'secateur[mlflow]'") from error
    except Exception as error:
        first = str(error).strip().partition("\n")[0]
        raise SecateurError(f"MLflow refused {what}: {first}") from error


def _tags(job: Job, result: JobResult) -> dict[str, str]:
    summary = result.summary
    exact = summary.equivalence
    tags = {
        "secateur.job": job.id,
        "secateur.dense_model": job.model or "",
        "secateur.pruned_model": result.model,
        "secateur.source": job.metadata.get(SOURCE, ""),
        "secateur.verdict": summary.verdict.text if summary.verdict else "",
        "secateur.certificate": "exact"
        if exact.is_exact
        else f"inexact: {', '.join(exact.inexact_ops)}",
    }
    return {key: value[:_MOST_TAG_CHARACTERS] for key, value in tags.items() if value}


def _log_curves(job: Job) -> None:
    """Log the numbers of each training's epochs; what was trained is the first part of a name."""
    import mlflow  # noqa: PLC0415  # optional

    for event in job.events():
        if epoch := epoch_numbers(event):
            title, numbers = epoch
            run = _REFUSED.sub("", title)
            named = {f"{run}.{name}": value for name, value in numbers.items()}
            mlflow.log_metrics(named, step=int(event.data["epoch"]))
