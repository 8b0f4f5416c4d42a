"""The documents' default config and tree of folders match the code, and the README is short."""

import json
import re
from pathlib import Path

from app.contracts.spec import PruneConfig

ROOT = Path(__file__).parents[3]
README, OVERVIEW, CONFIG = (
    (ROOT / name).read_text(encoding="utf-8")
    for name in ("README.md", "docs/architecture/01-overview.md", "docs/reference/config.md")
)
_MOST_WORDS = 700
# Made by building and running; .gitignore names them.
_UNTRACKED = {"__pycache__", "build", "demo-output", "dist", "htmlcov", "node_modules"}


def block(page: str, language: str, containing: str) -> str:
    found = re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL)
    return next(text for text in found if containing in text)


def tree() -> dict[str, set[str]]:
    """Return the folders that the tree shows, by the folder that contains them."""
    lines = block(OVERVIEW, "text", "docs/ ").splitlines()
    shown: dict[str, set[str]] = {}
    path: list[str] = []  # the folder last shown at each depth
    for line in lines:
        found = re.match(r"( *)((?:\w+/ ?)+)", line)
        if found is None:
            continue
        depth, names = len(found[1]) // 2, found[2].replace("/", "").split()
        parent = "/".join(path[:depth])
        shown.setdefault(parent, set()).update(names)
        path = [*path[:depth], names[-1]]
    return shown


def folders(parent: Path) -> set[str]:
    return {
        path.name
        for path in parent.iterdir()
        if path.is_dir()
        and path.name not in _UNTRACKED
        and not path.name.startswith(".")
        and not path.name.endswith(".egg-info")
    }


def test_the_config_in_the_documents_is_the_default() -> None:
    shown = json.loads(block(CONFIG, "json", '"criterion"'))
    assert shown == PruneConfig().model_dump(mode="json")


def test_the_tree_in_the_overview_is_the_tree() -> None:
    shown = tree()

    assert shown.keys() >= {"", "app", "secateur", "secateur/engine", "worker", "worker/pipeline"}
    for parent, names in shown.items():
        assert names == folders(ROOT / parent), parent or "the top level"


def test_the_readme_is_short() -> None:
    assert len(README.split()) <= _MOST_WORDS
