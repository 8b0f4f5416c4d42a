"""The commands ``secateur`` and ``secateur-engine``, wherever the service's packages lie.

In a checkout they are importable already. A wheel carries them in ``secateur/_service``, so that
an environment gets no packages called ``app`` and ``worker``; the commands, and the processes that
they start, find them there.
"""

import os
import sys
from pathlib import Path

SERVICE = Path(__file__).parent / "_service"


def main() -> None:
    """Run ``secateur``."""
    find_service()
    from app.cli.main import main as run  # noqa: PLC0415  # found only now

    run()


def engine() -> None:
    """Run ``secateur-engine``; without the extra ``engine``, say how to install it."""
    find_service()
    from app.contracts.installation import how_to_install  # noqa: PLC0415  # found only now

    try:
        from worker.cli.main import main as run  # noqa: PLC0415  # it imports torch
    except ModuleNotFoundError as error:
        print(  # noqa: T201  # the command's output
            f"secateur-engine: {error.name} is not installed: {how_to_install('engine')}",
            file=sys.stderr,
        )
        sys.exit(1)
    run()


def find_service() -> None:
    """Let this process, and those that it starts, import the service's packages."""
    if not SERVICE.is_dir():
        return
    folder = str(SERVICE)
    sys.path.insert(0, folder)
    names = os.environ  # noqa: TID251  # changed for children, not read as settings
    names["PYTHONPATH"] = os.pathsep.join(filter(None, [folder, names.get("PYTHONPATH")]))
