"""Every network of the corpus is read and analysed, and has its recorded groups.

README's number of networks is that of these files: no rule of the reader or of the analysis can
refuse one of them unseen.
"""

import json
from pathlib import Path

import pytest

from benchmarks.networks import NETWORKS
from tests.corpus.reading import GOLDEN, read_graph, stored_graphs, summary

NAMES = [path.name.removesuffix(".json.xz") for path in stored_graphs()]


def test_the_corpus_is_that_of_the_benchmarks() -> None:
    assert sorted(f"{source}_{name}" for source, name in NETWORKS) == NAMES


@pytest.mark.parametrize("path", stored_graphs(), ids=NAMES)
def test_a_network_is_read_and_its_groups_are_as_recorded(path: Path, tmp_path: Path) -> None:
    """To accept a change, run python -m tests.corpus.record and review the diff."""
    golden = json.loads(GOLDEN.read_text())
    name = path.name.removesuffix(".json.xz")
    assert summary(read_graph(path, tmp_path)) == golden[name]
