"""Prunes convolutional networks: with a Secateur service, or in this process.

* ``Client().prune("model.pt2", "data.npz").wait().infer(x)`` uses a service. `AsyncClient` has the
  same methods for asyncio. `secateur.torch` uploads live modules and loads their pruned weights.
* ``prune(net.eval(), example, macs=0.5)`` needs no service, but the extra ``engine``.

Importing this package needs no torch.
"""

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
