"""The dashboard's files, read and compressed once per process.

They are served below ``/static/<digest>/``, where the digest covers all files. Browsers may
therefore cache a file for ever and revalidate only the page, and modules that import each other by
relative path always have the same version.
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
    """One static file.

    Attributes:
        data: Uncompressed bytes.
        compressed: Bytes compressed with gzip.
        media_type: Value of ``Content-Type``.
        sha256: Hexadecimal SHA-256 of ``data``.
    """

    data: bytes
    compressed: bytes
    media_type: str
    sha256: str


@dataclass(frozen=True)
class Assets:
    """All files of the dashboard.

    Attributes:
        digest: Digest of all files, as used in URLs.
        files: Files by path below `FOLDER`.
        page: The HTML page. Its links contain the digest.
    """

    digest: str
    files: dict[str, Asset]
    page: Asset


@cache
def load_assets() -> Assets:
    """Read and compress every file. The result is cached."""
    data = dict(_read())
    digest = hashlib.sha256()
    for name, content in data.items():
        digest.update(f"{name} {len(content)}\n".encode() + content)
    shown = digest.hexdigest()[:_DIGEST_CHARACTERS]
    page = _fill(data.pop(PAGE).decode(), shown, sorted(data)).encode()
    return Assets(
        shown,
        {name: make_asset(content, Path(name).suffix) for name, content in data.items()},
        make_asset(page, Path(PAGE).suffix),
    )


def _read() -> Iterator[tuple[str, bytes]]:
    for path in sorted(FOLDER.rglob("*")):
        if path.suffix in _TYPES:  # skip licences and lists of hashes
            yield path.relative_to(FOLDER).as_posix(), path.read_bytes()


def _fill(page: str, digest: str, names: list[str]) -> str:
    """Insert the digest and the preload links, which let the browser load modules in parallel."""
    modules = [name for name in names if name.endswith(".js") and not name.startswith("vendor/")]
    links = "\n".join(
        f'<link rel="modulepreload" href="/static/{digest}/{html.escape(name)}">'
        for name in modules
        if name != "theme.js"  # a classic script that runs before the first paint
    )
    return page.replace("{{digest}}", digest).replace("{{preloads}}", links)


def make_asset(data: bytes, suffix: str) -> Asset:
    """Return a file of the kind that a suffix names."""
    return Asset(
        data,
        gzip.compress(data, mtime=0),
        _TYPES[suffix],
        hashlib.sha256(data).hexdigest(),
    )
