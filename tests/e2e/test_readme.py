"""What the README says of the config and of the tree; `tests/docs` runs its commands."""

import json
import re
from pathlib import Path

from app.contracts.spec import PruneConfig

README = (Path(__file__).parents[2] / "README.md").read_text()


def block(language: str, containing: str) -> str:
    found = re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)
    return next(text for text in found if containing in text)


def test_the_config_in_the_readme_is_the_default() -> None:
    shown = json.loads(block("json", '"criterion"'))
    assert shown == PruneConfig().model_dump(mode="json")


def test_the_tree_in_the_readme_is_the_tree() -> None:
    root = Path(__file__).parents[2]
    tree = README.split("## Where things are")[1]
    for name in re.findall(r"^\s*((?:\w+/ ?)+)", tree, re.MULTILINE):
        for folder in name.split():
            assert list(root.rglob(folder)), folder
