"""Write the tables of kinds from the engine's records: ``python -m docs.generate_kinds``."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import get_args

from app.contracts.spec import CandidateName
from secateur.engine.metrics import METRICS, SCORINGS
from secateur.engine.objectives import DEFAULTS, OBJECTIVES
from secateur.engine.saliency import CRITERIA

_ROOT = Path(__file__).parents[1]
CHOOSING = _ROOT / "docs/choosing.md"
README = _ROOT / "README.md"
DASHBOARD = _ROOT / "app/web/static/job/metrics.js"

_NEEDS = {"weights": "weights", "samples": "data", "classes": "data and labels"}
_AUTO = ("`auto`", "as its best candidate says", "data", "one pruning for each candidate", "")
_HEAD = """\
// What metrics are called, and which are shares. Written by `python -m docs.generate_kinds` from
// secateur/engine/metrics: change them there. summary.js asks it.

"""


def render_choosing() -> str:
    """Return the page of choices with its tables as the records have them."""
    text = CHOOSING.read_text()
    for name, table in (("criteria", _criteria()), ("objectives", _objectives())):
        head = f"<!-- generated: {name} -->\n\n"
        before, after = text.split(head)
        text = before + head + table + after[after.index("\n\n") :]
    return text


def render_readme() -> str:
    """Return the README with the candidates of `auto` in its config."""
    names = ", ".join(f'"{name}"' for name in get_args(CandidateName))
    before, after = README.read_text().split('"candidates": [')
    return f'{before}"candidates": [{names}{after[after.index("]") :]}'


def render_dashboard() -> str:
    """Return the dashboard's module."""
    metrics = {
        name: {"words": each.words, "isShare": each.is_share} for name, each in METRICS.items()
    }
    return f"{_HEAD}export const METRICS = {json.dumps(metrics, indent=2)};\n"


def _criteria() -> str:
    rows = [
        (
            f"`{each.name}`",
            each.words,
            "nothing" if each.is_baseline else _NEEDS[each.needs],
            each.cost,
            each.source,
        )
        for each in CRITERIA.values()
    ]
    heads = ("`kind`", "saliency of a filter is", "looks at", "costs", "from")
    return _table(heads, [*rows, _AUTO])


def _objectives() -> str:
    rows = [
        (
            f"`{each.name}`",
            each.words,
            each.loss_words,
            " or ".join(SCORINGS[labels].words for labels in each.labels) or "any, or none",
        )
        for each in OBJECTIVES.values()
    ]
    defaults = {labels: each.name for labels, each in DEFAULTS.items()}
    auto = ", ".join(f"`{name}` for {labels}" for labels, name in defaults.items())
    heads = ("`objective`", "learns", "loss", "labels")
    return _table(heads, [*rows, ("`auto` (default)", "by the labels", auto, "any, or none")])


def _table(heads: tuple[str, ...], rows: Iterable[Iterable[str]]) -> str:
    head, *body = (f"| {' | '.join(cells)} |".replace("|  |", "| |") for cells in (heads, *rows))
    return "\n".join([head, f"|{'---|' * len(heads)}", *body])


if __name__ == "__main__":
    CHOOSING.write_text(render_choosing())
    README.write_text(render_readme())
    DASHBOARD.write_text(render_dashboard())
