"""The dashboard's files, read and compressed once.

They are served below ``/static/<digest>/``, where the digest is of all of them: a file may be kept
for ever, modules that import each other by relative names are always of one version, and nothing
but the page itself is ever asked for again.
"""

import gzip
import hashlib
import html
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent / "static"
PAGE = "index.html"
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_DIGEST_CHARACTERS = 16


@dataclass(frozen=True)
class Asset:
    """One file.

    Attributes:
        data: Its bytes.
        compressed: The same, with gzip.
        media_type: For ``Content-Type``.
        sha256: Of ``data``.
    """

    data: bytes
    compressed: bytes
    media_type: str
    sha256: str


@dataclass(frozen=True)
class Assets:
    """All files of the dashboard.

    Attributes:
        digest: Of all files together, as URLs have it.
        files: By path below `FOLDER`.
        page: The page itself, which names the digest.
    """

    digest: str
    files: dict[str, Asset]
    page: Asset


@cache
def load_assets() -> Assets:
    """Read every file; later calls return the same."""
    data = dict(_read())
    digest = hashlib.sha256()
    for name, content in data.items():
        digest.update(f"{name} {len(content)}\n".encode() + content)
    shown = digest.hexdigest()[:_DIGEST_CHARACTERS]
    page = _fill(data.pop(PAGE).decode(), shown, sorted(data)).encode()
    return Assets(
        shown,
        {name: _asset(content, Path(name).suffix) for name, content in data.items()},
        _asset(page, Path(PAGE).suffix),
    )


def _read() -> Iterator[tuple[str, bytes]]:
    for path in sorted(FOLDER.rglob("*")):
        if path.suffix in _TYPES:  # licences and lists of hashes lie beside them
            yield path.relative_to(FOLDER).as_posix(), path.read_bytes()


def _fill(page: str, digest: str, names: list[str]) -> str:
    """Return the page with the digest, and with links that let modules load side by side."""
    modules = [name for name in names if name.endswith(".js") and not name.startswith("vendor/")]
    links = "\n".join(
        f'<link rel="modulepreload" href="/static/{digest}/{html.escape(name)}">'
        for name in modules
        if name != "theme.js"  # runs before anything is drawn, and is no module
    )
    return page.replace("{{digest}}", digest).replace("{{preloads}}", links)


def _asset(data: bytes, suffix: str) -> Asset:
    return Asset(
        data,
        gzip.compress(data, mtime=0),
        _TYPES[suffix],
        hashlib.sha256(data).hexdigest(),
    )
