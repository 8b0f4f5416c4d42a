"""Every code block of README.md and docs/ runs as written, or says why it cannot."""

import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.contracts.settings import Settings
from app.contracts.spec import PreprocessSpec
from app.main import create_app
from tests.docs.blocks import ROOT, BlockError, blocks_of, given_of, pages, parse
from tests.docs.given import GIVEN, Start, prepare
from tests.docs.running import PageRun
from tests.fixtures.service import (
    SETTINGS,
    Service,
    artifact,
    images,
    npz_bytes,
    serving,
    trained_model_bytes,
)

PAGES = [path for path in pages() if "```" in path.read_text()]
CONFIG = {
    "selection": {"mode": "budget", "macs": 0.5},
    "retrain": {"epochs": 2, "batch_size": 32},
}

FIVE_BLOCKS = """
```bash
A=one
```
```bash
echo $A two three
```
<!-- output -->
```text
one … three
```
```python
x = 1
```
```python
print(x + 1)
```
"""


class Shared:
    """Services that pages share, started on first use."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._serving = serving(folder / "data")
        self._service: Service | None = None
        self._files: Path | None = None

    def service(self) -> Service:
        if self._service is None:
            self._service = self._serving.__enter__()
        return self._service

    def finished_job(self) -> Path:
        """Return the folder with all files of a job."""
        if self._files is None:
            service = self.service()
            x, y = images()
            model = service.upload("models", trained_model_bytes(), name="small")["id"]
            data = service.upload("datasets", npz_bytes(x=x, y=y), filename="data.npz")["id"]
            job_id = service.post_job(model=model, dataset=data, config=CONFIG)
            job = service.wait_for_job(job_id)
            assert job["status"] == "succeeded", job
            self._files = self.folder / "pruned"
            self._files.mkdir()
            for item in job["result"]["artifacts"]:
                content = artifact(service, job, item["name"])
                (self._files / item["name"]).write_bytes(content)
        return self._files

    def close(self) -> None:
        if self._service is not None:
            self._serving.__exit__(None, None, None)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shared]:
    found = Shared(tmp_path_factory.mktemp("shared"))
    yield found
    found.close()


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    """The OpenAPI document, and the schemas of values sent as text in forms and queries."""
    found = create_app(Settings()).openapi()
    found["components"]["schemas"]["PreprocessSpec"] = PreprocessSpec.model_json_schema()
    return found


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_page_runs_as_written(
    path: Path,
    shared: Shared,
    document: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = tmp_path / "page"
    folder.mkdir()
    start = Start(folder, shared.service, shared.finished_job, names={"__name__": "__main__"})
    prepare(start, given_of(path.read_text()))
    for name in [name for name in os.environ if name.startswith("SECATEUR_")]:
        monkeypatch.delenv(name)
    for name, value in environment(tmp_path).items():
        monkeypatch.setenv(name, value)
    for name, value in start.variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(folder)
    service = shared.service() if start.uses_service else None
    run = PageRun(
        folder,
        dict(os.environ),
        start.names,
        document=document,
        database=service.folder / "secateur.db" if service else None,
        address=service.url.removeprefix("http://") if service else None,
    )
    with run:
        for block in blocks_of(path):
            run.run(block)


def environment(home: Path) -> dict[str, str]:
    """Return a user's shell environment, with its own home and a free port."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = str(listener.getsockname()[1])
    return {
        "HOME": str(home),
        "XDG_CONFIG_HOME": str(home / ".config"),
        "XDG_STATE_HOME": str(home / ".state"),
        "PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin",
        "COLUMNS": "120",
        "SECATEUR_API__PORT": port,
        **SETTINGS,
    }


@pytest.mark.parametrize("path", pages(), ids=lambda path: str(path.relative_to(ROOT)))
def test_every_block_of_a_page_is_tested_or_says_why_not(path: Path) -> None:
    num_fences = sum(line.lstrip().startswith("```") for line in path.read_text().splitlines())
    assert 2 * len(blocks_of(path)) == num_fences


@pytest.mark.parametrize(
    "text",
    [
        "```rust\nfn main() {}\n```",
        "```\nplain\n```",
        "```text\nplain\n```",
        "<!-- not run: -->\n```python\nx\n```",
        "<!-- not tested: too lazy -->\n```rust\nx\n```",
        "<!-- not run: a reason for another block -->\nWords.\n\n```kotlin\nx\n```",
    ],
)
def test_a_block_without_a_test_is_refused(text: str) -> None:
    with pytest.raises(BlockError, match=r"page\.md:"):
        list(parse(text + "\n", "page.md"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("```bash\nfalse | true\n```", "exit code 1"),
        ("```bash\necho one\n```\n<!-- output -->\n```text\ntwo\n```", "printed was"),
        ("<!-- not run: a slip -->\n```bash\nif true\n```", "syntax error"),
        ("```python\nassert 1 + 1 == 3, 'arithmetic'\n```", "arithmetic"),
        ('```json\n{"criterium": {}}\n```', "extra_forbidden|Extra inputs"),
        ('<!-- json: JobCreate -->\n```json\n{"dataset": "ds_1"}\n```', "model"),
    ],
)
def test_a_block_whose_output_differs_fails(
    text: str, message: str, tmp_path: Path, document: dict[str, Any]
) -> None:
    *before, last = parse(text + "\n", "page.md")
    with PageRun(tmp_path, dict(os.environ), {}, document=document) as run:
        for block in before:
            run.run(block)
        with pytest.raises(Exception, match=message):
            run.run(last)


def test_variables_and_names_go_on_to_the_next_block(
    tmp_path: Path, document: dict[str, Any]
) -> None:
    with PageRun(tmp_path, dict(os.environ), {}, document=document) as run:
        for block in parse(FIVE_BLOCKS, "page.md"):
            run.run(block)
    assert run.printed == "2\n"


def test_pages_name_only_known_fixtures() -> None:
    named = {name for path in pages() for name in given_of(path.read_text())}
    assert named <= GIVEN.keys()
