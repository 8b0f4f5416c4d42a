"""Which service is meant, and with which key: what is passed, the environment, or this machine's.

`secateur serve` leaves its address and its key in its data directory, in files that only their
owner can read. They are found from the folder it was started in and from those below it, as git
finds a repository, or where ``SECATEUR_DATA_DIR`` says. Only a loopback address is taken from
there: a folder that came from elsewhere sends nobody's models away.
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
# What `secateur serve` writes.
URL_FILE, KEY_FILE = "url", "api-key"

_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_MOST_BYTES = 4096


@dataclass(frozen=True)
class Target:
    """A service and a key, and where both were found, for messages.

    Attributes:
        url: Without a slash at its end.
        api_key: None: there is none.
        url_source: Such as ``SECATEUR_URL``.
        key_source: Likewise.
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
    """Return which service is meant.

    Args:
        url: What the user passed.
        api_key: Likewise.
        environment: Of this process, unless given.
        folder: Where to look from; the current one, unless given.

    Raises:
        ConfigurationError: What is found cannot be used.
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
    """Return the service that runs, or ran, in a data directory at or above a folder."""
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
    """Return what is in a file that is ours alone; None if there is no such file.

    Raises:
        ConfigurationError: Others can read it.
    """
    try:
        with path.open("rb") as file:
            about = os.fstat(file.fileno())
            if hasattr(os, "getuid") and about.st_uid != os.getuid():
                return None  # somebody else's service
            if os.name == "posix" and about.st_mode & _OTHERS:
                raise ConfigurationError(f"others can read {path}: chmod 600 {path}")
            return file.read(_MOST_BYTES).decode("ascii", "replace").strip() or None
    except OSError:
        return None
