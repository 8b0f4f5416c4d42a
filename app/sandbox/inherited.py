"""Variables that a fork server, and so a job's process, inherits: no secrets, no settings."""

from collections.abc import Mapping

# Names the end of a socket whose other end is a server that `secateur serve` has forked already.
SERVER_SOCKET = "FORK_SERVER_SOCKET"

_NAMES = (
    "PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "PYTHONPATH", "VIRTUAL_ENV",
    "CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "OMP_NUM_THREADS", "OMP_WAIT_POLICY",
    "PYTORCH_ALLOC_CONF",
)  # fmt: skip
# Defaults for variables that our environment does not set. Waiting OpenMP threads spin by default
# and occupy cores that other processes need: on two busy cores training was six times slower.
_DEFAULTS = {"OMP_WAIT_POLICY": "PASSIVE"}
_FIXED = {
    "PYTHONUNBUFFERED": "1",
    # Arrow's own allocator takes 1 GiB of the memory limit when it is imported; malloc does not.
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    # torch's compiler would keep precompiled headers in a folder shared by all users, chosen at
    # import.
    "TORCHINDUCTOR_CPP_CACHE_PRECOMPILE_HEADERS": "0",
}
# Warming up makes torch look for GPUs, and an initialised driver does not survive a fork. With
# these two variables torch reports no GPU without calling the driver.
_NO_GPU = {"CUDA_VISIBLE_DEVICES": "", "PYTORCH_NVML_BASED_CUDA_CHECK": "1"}
# cuBLAS gives the same bytes every time only with a workspace of its own.
_GPU = {"CUBLAS_WORKSPACE_CONFIG": ":4096:8"}


def inherited(environment: Mapping[str, str], *, is_gpu: bool) -> dict[str, str]:
    """Return the environment of a server whose children compute on a GPU, or see none."""
    known = {name: environment[name] for name in _NAMES if name in environment}
    return _DEFAULTS | known | _FIXED | (_GPU if is_gpu else _NO_GPU)
