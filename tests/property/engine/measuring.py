"""A process that runs operators and measures the memory that each takes at its peak.

Run by `test_footprint`. Every allocation is mapped and given back at once, so the resident size is
that of the living values, whoever allocated them: torch, oneDNN or a vector of C++.
"""

import gc
import json
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, fx

from secateur.engine.program.footprint import held_inside
from secateur.engine.program.kernels import kernels_of, num_bytes, tensors_in
from tests.property.engine.operators import OPERATORS

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
RESET_PEAK = "5"  # proc_pid_clear_refs(5)


def main() -> None:
    """Measure the operators for one seed; print one line each."""
    torch.set_num_threads(2)
    torch.manual_seed(0)
    for name, make in OPERATORS.items():
        target, args = make(random.Random(f"{sys.argv[1]} {name}"))  # noqa: S311  # shapes
        found = {"name": name, "measured": measure(target, args), "judged": judge(target, args)}
        sys.stdout.write(json.dumps(found) + "\n")


def measure(target: Callable[..., Any], args: list[Any]) -> int:
    """Return the bytes that a call takes besides its arguments, at its peak."""
    with torch.no_grad():
        target(*args)  # one-time allocations
        gc.collect()
        CLEAR.write_text(RESET_PEAK, encoding="ascii")
        before = _status("VmRSS")
        result = target(*args)
        peak = _status("VmHWM") - before
        del result
    return peak


def judge(target: Callable[..., Any], args: list[Any]) -> int:
    """Return the bytes that the limit counts for the call besides its arguments."""
    graph, shapes = fx.Graph(), dict[fx.Node, Any]()

    def on_meta(value: Any) -> Any:  # any argument
        if isinstance(value, (list, tuple)):
            return [on_meta(each) for each in value]
        if not isinstance(value, Tensor):
            return value
        node = graph.placeholder(f"x{len(shapes)}")
        shapes[node] = value.to("meta")
        return node

    node = graph.call_function(target, tuple(on_meta(list(args))))
    with torch.no_grad():
        shapes[node] = target(*fx.map_arg(node.args, shapes.__getitem__))
    result_bytes = sum(map(num_bytes, tensors_in(shapes[node])))
    return result_bytes + held_inside(kernels_of(node, shapes), result_bytes)


def _status(name: str) -> int:
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    main()
