"""Write the dashboard's copy of the table of files: ``python -m docs.generate_file_kinds``."""

import json
from pathlib import Path

from secateur.core.file_kinds import FILE_KINDS, TAKEN
from secateur.core.formats import FORMATS, MODEL_FORMATS, suffixes

TARGET = Path(__file__).parents[1] / "app/web/static/parts/file_kinds.js"
_HEAD = """\
// What files are, by their first bytes. Written by `python -m docs.generate_file_kinds` from
// secateur/core/formats.py and file_kinds.py: change it there. files.js looks files up.

"""


def render() -> str:
    """Return the module."""
    kinds = [{name: value for name, value in vars(kind).items() if value} for kind in FILE_KINDS]
    accept = {use: ",".join(suffixes(use)) for use in FORMATS}
    weights = [
        s for each in MODEL_FORMATS.values() if each.needs_architecture for s in each.suffixes
    ]
    return (
        f"{_HEAD}export const TAKEN = {json.dumps(TAKEN, indent=2)};\n\n"
        f"export const ACCEPT = {json.dumps(accept, indent=2)};\n\n"
        f"export const NEED_ARCHITECTURE = {json.dumps(weights)};\n\n"
        f"export const FILE_KINDS = {json.dumps(kinds, indent=2)};\n"
    )


if __name__ == "__main__":
    TARGET.write_text(render())
