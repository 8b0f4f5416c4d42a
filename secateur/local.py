"""Finds the service and the key: from arguments, the environment, or the local service's files.

`secateur serve` stores its address and its key in its data directory, in files that only their
owner can read. The client looks for them in the current folder and the folders above it, as git
looks for a repository, or in ``SECATEUR_DATA_DIR``. It accepts only a loopback address from there,
so a folder from elsewhere cannot redirect anybody's models.
"""

import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from secateur.core.connection import check_key, check_url, is_this_machine
from secateur.errors import ConfigurationError

URL_VARIABLE, KEY_VARIABLE = "SECATEUR_URL", "SECATEUR_KEY"
DATA_DIR_VARIABLE = "SECATEUR_DATA_DIR"
DEFAULT_URL = "http://127.0.0.1:8000"
DEFAULT_DATA_DIR = ".secateur"
# Files that `secateur serve` writes.
URL_FILE, KEY_FILE = "url", "api-key"

_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_MOST_BYTES = 4096


@dataclass(frozen=True)
class Target:
    """A service and a key, and where each was found, for messages.

    Attributes:
        url: The service's URL, without a trailing slash.
        api_key: The key; None if none was found.
        url_source: Where the URL was found, such as ``SECATEUR_URL``.
        key_source: Where the key was found.
    """

    url: str
    api_key: str | None
    url_source: str
    key_source: str


def find_target(
    url: str | None,
    api_key: str | None,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> Target:
    """Return the service and the key to use.

    Args:
        url: The URL that the user passed.
        api_key: The key that the user passed.
        environment: Environment variables; those of this process if None.
        folder: Where the search starts; the current folder if None.

    Raises:
        ConfigurationError: The URL or the key is not valid.
    """
    names = os.environ if environment is None else environment  # noqa: TID251  # a client's own
    url_source = "the URL given" if url else URL_VARIABLE
    key_source = "the key given" if api_key else KEY_VARIABLE
    url, api_key = url or names.get(URL_VARIABLE), api_key or names.get(KEY_VARIABLE)
    local = None if url and api_key else find_local(names, folder or Path.cwd())
    if local is not None and url is None:
        url, url_source = local.url, local.url_source
    if local is not None and api_key is None and url and check_url(url) == local.url:
        api_key, key_source = local.api_key, local.key_source
    return Target(
        check_url(url or DEFAULT_URL),
        check_key(api_key) if api_key else None,
        url_source if url else "the default",
        key_source if api_key else "nowhere",
    )


def find_local(environment: Mapping[str, str], folder: Path) -> Target | None:
    """Return the service that has, or had, its data directory in a folder or in one above it."""
    for data_dir in _data_dirs(environment, folder):
        url, key = _read(data_dir / URL_FILE), _read(data_dir / KEY_FILE)
        if url is not None and key is not None:
            if not is_this_machine(check_url(url)):
                raise ConfigurationError(f"{data_dir / URL_FILE} names another machine: {url!r}")
            source = f"secateur serve in {data_dir}"
            return Target(check_url(url), check_key(key), source, source)
    return None


def _data_dirs(environment: Mapping[str, str], folder: Path) -> Iterator[Path]:
    if named := environment.get(DATA_DIR_VARIABLE):
        yield Path(named)
        return
    start = folder.absolute()
    for place in (start, *start.parents):
        yield place / DEFAULT_DATA_DIR


def _read(path: Path) -> str | None:
    """Return the contents of a file that only we can read; None if there is no such file.

    Raises:
        ConfigurationError: Others can read the file.
    """
    try:
        with path.open("rb") as file:
            about = os.fstat(file.fileno())
            if hasattr(os, "getuid") and about.st_uid != os.getuid():
                return None  # another user's service
            if os.name == "posix" and about.st_mode & _OTHERS:
                raise ConfigurationError(f"others can read {path}: chmod 600 {path}")
            return file.read(_MOST_BYTES).decode("ascii", "replace").strip() or None
    except OSError:
        return None
