"""Load time of a job's page with 1,000 events and 100 layers.

Usage: python -m benchmarks.job_page [--events 1000] [--layers 100] [--runs 15] [--output FILE].
Only the API process of `secateur serve`, with default settings, over rows inserted directly.
Headless Chromium on the same machine opens the page in a fresh profile for every run ("cold") and
again in the same profile ("warm"). Milliseconds from the start of the navigation:

* ``first_paint``: First Contentful Paint;
* ``job``: status, result and the table of before and after are shown;
* ``events``: the newest events are listed and the epochs drawn;
* ``layers``: all layers are shown with widths and reasons;
* ``curves``: from scrolling to the curves until the first is drawn (curves are drawn in view only).

Medians and the slowest run. ``bytes`` counts the bytes transferred. Writes JSON.
"""

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import BrowserContext

from app.contracts.settings import Settings
from app.keys.service import create_key
from app.records.database import create_database, create_sessions
from app.records.migrations import upgrade
from benchmarks.machine import machine
from tests.fixtures.browser import DESKTOP, running_browser
from tests.fixtures.shown import fill

_START_SECONDS = 30
_MOST_SECONDS = 30
# Selectors that must match for each moment.
_MOMENTS = {
    "job": ".cards .card, .table",
    "events": ".log li, .chart[aria-label^='Training loss']",
    "layers": ".width:nth-child(24), .layer:nth-child(LAYERS)",
}
_WATCH = """(moments) => {
    window.seen = {};
    const look = () => {
        for (const [name, selector] of Object.entries(moments)) {
            const isThere = selector.split(", ").every((each) => document.querySelector(each));
            if (isThere) { window.seen[name] ??= performance.now(); }
        }
    };
    new MutationObserver(look).observe(document, { childList: true, subtree: true });
}"""

_SCROLL = """() => new Promise((resolve) => {
    const start = performance.now();
    document.querySelector(".layer").scrollIntoView();
    const look = () => document.querySelector(".layer canvas")
        ? resolve(performance.now() - start) : requestAnimationFrame(look);
    look();
})"""


def main() -> None:
    """Measure cold and warm runs."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--events", type=int, default=1000)
    parser.add_argument("--layers", type=int, default=100)
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    runs: dict[str, list[dict[str, float]]] = {"cold": [], "warm": []}
    with (
        tempfile.TemporaryDirectory() as folder,
        _server(Path(folder), options.layers, options.events) as (base, path),
        running_browser() as browser,
    ):
        for _ in range(options.runs):
            context = browser.new_context(viewport=DESKTOP)
            moments = json.dumps(_MOMENTS).replace("LAYERS", str(options.layers))
            context.add_init_script(f"({_WATCH})({moments})")
            for kind in ("cold", "warm"):
                runs[kind].append(_open(context, f"{base}{path}"))
            context.close()
        version = browser.version
    result: dict[str, Any] = {
        "machine": machine() | {"chromium": version, "load_average": os.getloadavg()[0]},
        "events": options.events,
        "layers": options.layers,
        "runs": options.runs,
    }
    for kind, found in runs.items():
        names = found[0].keys()
        result[kind] = {
            "median": {
                name: round(statistics.median(run[name] for run in found)) for name in names
            },
            "slowest": {name: round(max(run[name] for run in found)) for name in names},
        }
        print(kind, json.dumps(result[kind]))
    if options.output is not None:
        options.output.write_text(json.dumps(result, indent=1) + "\n")


def _open(context: BrowserContext, url: str) -> dict[str, float]:
    """Open the page in a new tab; return the time of each moment and the bytes transferred."""
    page = context.new_page()
    sizes: list[int] = []
    session = context.new_cdp_session(page)
    session.send("Network.enable")
    session.on("Network.loadingFinished", lambda e: sizes.append(int(e["encodedDataLength"])))
    page.goto(url)
    end = time.monotonic() + _MOST_SECONDS
    while len(page.evaluate("Object.keys(window.seen)")) < len(_MOMENTS):
        if time.monotonic() > end:
            raise TimeoutError(page.evaluate("window.seen"))
        page.wait_for_timeout(20)
    paint = "performance.getEntriesByName('first-contentful-paint')[0].startTime"
    found = {"first_paint": page.evaluate(paint), **page.evaluate("window.seen")}
    found["curves"] = page.evaluate(_SCROLL)
    page.close()
    return found | {"bytes": sum(sizes)}


@contextmanager
def _server(folder: Path, num_layers: int, num_events: int) -> Iterator[tuple[str, str]]:
    """Run the API over the rows; yield its address and the job's path with the key."""
    settings = Settings(data_dir=folder)
    engine = create_database(settings.database_url)
    upgrade(engine)
    sessions = create_sessions(engine)
    _row, key = create_key(sessions, "default", "benchmark", ["admin"])
    shown = fill(sessions, num_layers=num_layers, num_events=num_events)
    engine.dispose()
    with socket.socket() as listener:
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # as `secateur serve` does
        listener.bind(("127.0.0.1", 0))
        listener.listen(1024)
        number = listener.fileno()
        argv = [sys.executable, "-m", "app.server", "--fd", str(number)]
        environment = {**os.environ, "SECATEUR_DATA_DIR": str(folder)}  # noqa: TID251  # handed on
        with (folder / "api.log").open("wb") as log:
            process = subprocess.Popen(  # noqa: S603  # our own command line
                argv, env=environment, stdout=log, stderr=log, pass_fds=(number,)
            )
        try:
            port = listener.getsockname()[1]
            with socket.create_connection(("127.0.0.1", port), timeout=_START_SECONDS) as waiting:
                waiting.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                waiting.recv(1)
            path = f"/#key={key}&to=/jobs/{shown.jobs['succeeded']}"
            yield f"http://127.0.0.1:{port}", path
        finally:
            process.terminate()
            process.wait()


if __name__ == "__main__":
    main()
