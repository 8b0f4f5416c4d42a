"""``python -m tests.attacks.fuzz reader|onnx|safetensors|images --seconds N``: broken files.

Valid files are mutated by what they are made of (JSON, the directory of a zip, chunks, bytes) and
read in a process of its own under a memory limit, as a job would. A finding is anything but a file
that is read or refused: another exception, an end of the process, a hang, an allocation past the
limit, a file that nobody asked for. Its bytes are kept for a regression test.
"""

import argparse
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.attacks.files.reading import READ, ReadingChild
from tests.attacks.mutations.data_sets import data_sets
from tests.attacks.mutations.models import models
from tests.attacks.mutations.onnx_graphs import onnx_graphs
from tests.attacks.mutations.parts import Mutate
from tests.attacks.mutations.weights import NETWORK, weights

EXPECTED = {READ, "model_rejected", "unsupported_op", "too_large", "data_error"}
# Small, so that what is accepted costs little; the code is the same.
LIMITS = {
    "activation_bytes": 2**24, "macs": 10**8, "tensor_elements": 2**20, "image_pixels": 10**6,
    "unpacked_bytes": 2**26, "sample_values": 10**6, "samples": 10**4, "label_values": 10**5,
}  # fmt: skip
KINDS: dict[str, Callable[[Path], Mutate]] = {
    "reader": models,
    "onnx": onnx_graphs,
    "safetensors": weights,
    "images": data_sets,
}


@dataclass
class Found:
    """Counts and findings of one run.

    Attributes:
        codes: How often each ending came.
        findings: Every ending that is not expected, with its file.
    """

    codes: Counter[str] = field(default_factory=Counter)
    findings: list[tuple[str, bytes]] = field(default_factory=list)


def fuzz(what: str, seed: int, is_over: Callable[[int], bool], child: ReadingChild) -> Found:
    """Read mutated files until ``is_over`` returns true for their number."""
    rng = random.Random(seed)  # noqa: S311  # reproducible, not secret
    marker = child.home / "executed"
    mutate, found = KINDS[what](marker), Found()
    number = 0
    while not is_over(number):
        format_, data = mutate(rng)
        outcome = child.read(
            data, format_, LIMITS, architecture=NETWORK if what == "safetensors" else None
        )
        found.codes[outcome.code] += 1
        is_fine = outcome.code in EXPECTED and not outcome.strays
        if not is_fine or (outcome.code != READ and len(outcome.message) < 10):
            said = f"{format_} {number}: {outcome.code} {outcome.message} {outcome.error}"
            found.findings.append((f"{said} {outcome.strays}", data))
        number += 1
    return found


def main() -> int:
    """Fuzz for a while, print the counts, and exit 1 if there are findings."""
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=sorted(KINDS))
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    child = ReadingChild()
    end = time.monotonic() + options.seconds
    try:
        found = fuzz(options.what, options.seed, lambda _number: time.monotonic() > end, child)
    finally:
        child.stop()
    sys.stdout.write(f"{sum(found.codes.values())} files: {dict(found.codes)}\n")
    kept = Path(tempfile.mkdtemp(prefix="fuzz-")) if found.findings else None
    for number, (said, data) in enumerate(found.findings):
        assert kept is not None
        (kept / str(number)).write_bytes(data)
        sys.stdout.write(f"{said[:1000]}\n    {kept / str(number)}\n")
    return 1 if found.findings else 0


if __name__ == "__main__":
    sys.exit(main())
