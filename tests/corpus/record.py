"""Record the analysis of every stored graph: ``python -m tests.corpus.record``."""

import json
import tempfile
from pathlib import Path

from tests.corpus.reading import GOLDEN, read_graph, stored_graphs, summary


def main() -> None:
    """Write ``golden.json``, one line for each network."""
    lines = []
    for path in stored_graphs():
        with tempfile.TemporaryDirectory() as folder:
            found = summary(read_graph(path, Path(folder)))
        name = path.name.removesuffix(".json.xz")
        lines.append(f"{json.dumps(name)}: {json.dumps(found)}")

    GOLDEN.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
