"""Vendored files match the published ones that ``make vendor`` fetches, with their licence."""

import hashlib
import re
from pathlib import Path

_ROOT = Path(__file__).parents[3]
_FOLDER = _ROOT / "app" / "web" / "static" / "vendor"


def test_vendored_files_match_their_published_hashes() -> None:
    listed = dict(
        reversed(line.split("  ", 1)) for line in (_FOLDER / "SHA256SUMS").read_text().splitlines()
    )
    files = {path.name for path in _FOLDER.iterdir()} - {"SHA256SUMS"}
    assert files == set(listed)
    for name, digest in listed.items():
        assert hashlib.sha256((_FOLDER / name).read_bytes()).hexdigest() == digest, name


def test_the_makefile_pins_the_vendored_version() -> None:
    makefile = (_ROOT / "Makefile").read_text()
    (version,) = re.findall(r"^UPLOT := ([\d.]+)$", makefile, re.MULTILINE)
    assert re.search(r"^UPLOT_SHA512 := [0-9a-f]{128}$", makefile, re.MULTILINE)
    head = (_FOLDER / "uPlot.iife.min.js").read_text()[:200]
    assert f"(v{version})" in head
