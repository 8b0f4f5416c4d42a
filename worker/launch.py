"""``python -m worker.launch [--memory BYTES] -- COMMAND``: limit this process, then become COMMAND.

A job's process dies with the worker that started it, and may be limited in memory. Done here and
not between fork and exec of the worker, whose threads make that unsafe.

The limit is on private writable memory (``RLIMIT_DATA``, which since Linux 4.7 counts anonymous
mappings as well as the heap), not on address space: torch with CUDA maps 3 GiB of libraries before
it computes anything, CUDA reserves the size of the machine's memory and of every GPU's, and neither
is memory that a job uses. Importing torch 2.14 takes 0.75 GB of this limit, most of it never
touched. An allocation beyond it fails inside the process, which can say so, and the worker lives.
"""

import argparse
import ctypes
import os
import resource
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Set the limits and replace this process."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--memory", type=int, default=None)
    parser.add_argument("--parent", type=int, required=True)
    parser.add_argument("command", nargs="+")
    options = parser.parse_args()
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != options.parent:  # it died before the call above
            sys.exit(1)
    # Arrow's own allocator takes 1 GiB of the limit when it is imported; malloc what it needs.
    os.environ["ARROW_DEFAULT_MEMORY_POOL"] = "system"  # noqa: TID251  # written, not read
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if options.memory is not None:
        resource.setrlimit(resource.RLIMIT_DATA, (options.memory, options.memory))
    os.execvp(options.command[0], options.command)  # noqa: S606  # our own command line


if __name__ == "__main__":
    main()
