"""Prunes convolutional networks: with a Secateur service, or in this process.

* ``Client().prune("model.pt2", "data.npz").wait().infer(x)`` uses a service. `AsyncClient` has the
  same methods for asyncio. `secateur.torch` uploads live modules and loads their pruned weights.
* ``prune(net.eval(), example, macs=0.5)`` needs no service, but the extra ``engine``.

Importing this package needs no torch. Each name is imported when it is first used: ``import
secateur.engine`` loads no client, and the commands answer ``--help`` at once.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from secateur.async_client import AsyncClient
    from secateur.async_jobs import AsyncJob, AsyncSweep
    from secateur.client import Client
    from secateur.comparison import Comparison
    from secateur.errors import (
        ApiError,
        AuthenticationError,
        ConfigurationError,
        ConflictError,
        ConnectionFailedError,
        DatasetRejectedError,
        DownloadError,
        ErrorDetail,
        FileChangedError,
        InvalidRequestError,
        JobCancelledError,
        JobExpiredError,
        JobFailedError,
        JobNotSucceededError,
        ModelRejectedError,
        NotFoundError,
        PermissionDeniedError,
        SecateurError,
        ServiceUnavailableError,
        TooManyRequestsError,
        UnexpectedAnswerError,
        UnsupportedFileError,
        WaitTimeoutError,
    )
    from secateur.jobs import Job, Sweep
    from secateur.pruned import Pruned
    from secateur.pruning import prune
    from secateur.types import (
        Artifact,
        Dataset,
        Event,
        JobResult,
        Label,
        Model,
        Plan,
        Summary,
        SweepRow,
        TenantQuotas,
    )

__version__ = "0.1.0"  # the one place that has it; pyproject.toml reads it

_HOMES = {
    "async_client": ("AsyncClient",),
    "async_jobs": (
        "AsyncJob",
        "AsyncSweep",
    ),
    "client": ("Client",),
    "comparison": ("Comparison",),
    "errors": (
        "ApiError",
        "AuthenticationError",
        "ConfigurationError",
        "ConflictError",
        "ConnectionFailedError",
        "DatasetRejectedError",
        "DownloadError",
        "ErrorDetail",
        "FileChangedError",
        "InvalidRequestError",
        "JobCancelledError",
        "JobExpiredError",
        "JobFailedError",
        "JobNotSucceededError",
        "ModelRejectedError",
        "NotFoundError",
        "PermissionDeniedError",
        "SecateurError",
        "ServiceUnavailableError",
        "TooManyRequestsError",
        "UnexpectedAnswerError",
        "UnsupportedFileError",
        "WaitTimeoutError",
    ),
    "jobs": (
        "Job",
        "Sweep",
    ),
    "pruned": ("Pruned",),
    "pruning": ("prune",),
    "types": (
        "Artifact",
        "Dataset",
        "Event",
        "JobResult",
        "Label",
        "Model",
        "Plan",
        "Summary",
        "SweepRow",
        "TenantQuotas",
    ),
}
_SUBMODULES = ("engine", "errors", "torch", "types")
_MODULES = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "ApiError",
    "Artifact",
    "AsyncClient",
    "AsyncJob",
    "AsyncSweep",
    "AuthenticationError",
    "Client",
    "Comparison",
    "ConfigurationError",
    "ConflictError",
    "ConnectionFailedError",
    "Dataset",
    "DatasetRejectedError",
    "DownloadError",
    "ErrorDetail",
    "Event",
    "FileChangedError",
    "InvalidRequestError",
    "Job",
    "JobCancelledError",
    "JobExpiredError",
    "JobFailedError",
    "JobNotSucceededError",
    "JobResult",
    "Label",
    "Model",
    "ModelRejectedError",
    "NotFoundError",
    "PermissionDeniedError",
    "Plan",
    "Pruned",
    "SecateurError",
    "ServiceUnavailableError",
    "Summary",
    "Sweep",
    "SweepRow",
    "TenantQuotas",
    "TooManyRequestsError",
    "UnexpectedAnswerError",
    "UnsupportedFileError",
    "WaitTimeoutError",
    "prune",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401  # a module's attributes
    if name in _SUBMODULES:
        return importlib.import_module(f"{__name__}.{name}")
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
