"""Generate docs/settings.md from the settings models: ``python -m docs.generate_settings``."""

from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from app.contracts.settings import PREFIX, SECRETS, Settings

TARGET = Path(__file__).parent / "settings.md"
_HEAD = """# Settings

Settings are environment variables. A process reads them at start, and refuses to start with an
unknown name of this prefix or with values that contradict each other. A size is a number of bytes,
or a number with a unit: `2 GiB`, `500 MB`. A *secret* may also lie in a file: add `_FILE` to the
name and set it to the path, as in `SECATEUR_DATABASE__URL_FILE=/run/secrets/database`. Generated
by `python -m docs.generate_settings`.

| variable | default | meaning |
|---|---|---|
"""


def render() -> str:
    """Return the page."""
    rows = []
    for name, field in Settings.model_fields.items():
        group = field.annotation
        if isinstance(group, type) and issubclass(group, BaseModel):
            rows += [
                _row(f"{name}__{n}", f, is_secret=(name, n) in SECRETS)
                for n, f in group.model_fields.items()
            ]
        else:
            rows.append(_row(name, field))
    return _HEAD + "\n".join(rows) + "\n"


def _row(name: str, field: FieldInfo, *, is_secret: bool = False) -> str:
    shown = "" if field.default is None else f"`{_shown(name, field.default)}`"
    note = "*Secret.* " if is_secret else ""
    return f"| `{PREFIX}{name.upper()}` | {shown} | {note}{field.description} |"


def _shown(name: str, default: Any) -> str:  # noqa: ANN401  # settings have many types
    """Return a default as a user would write it."""
    if default == ():
        return "[]"
    if name.endswith("_bytes"):
        return _size(default)
    if isinstance(default, bool):
        return str(default).lower()
    return f"{default:.10g}" if isinstance(default, float) else str(default)


def _size(num_bytes: int) -> str:
    for unit in ("bytes", "KiB", "MiB"):
        if num_bytes % 1024:
            return f"{num_bytes} {unit}"
        num_bytes //= 1024
    return f"{num_bytes} GiB"


if __name__ == "__main__":
    TARGET.write_text(render())
