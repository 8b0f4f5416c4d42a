"""Entry points of the commands ``secateur`` and ``secateur-engine``.

In a checkout the service's packages are importable directly. A wheel has them in
``secateur/_service``, so that no top-level packages called ``app`` and ``worker`` are installed.
The commands add that folder to the path for themselves and their child processes.
"""

import gc
import os
import sys
from pathlib import Path

SERVICE = Path(__file__).parent / "_service"


def main() -> None:
    """Run ``secateur``."""
    find_service()
    from app.cli.main import main as run  # noqa: PLC0415  # needs `find_service`

    run()


def engine() -> None:
    """Run ``secateur-engine``; without the extra ``engine``, say how to install it."""
    find_service()
    from app.contracts.installation import how_to_install  # noqa: PLC0415  # needs `find_service`

    gc.disable()  # modules stay: looking through them took 2 of 4.4 s of CPU
    try:
        from worker.cli.main import main as run  # noqa: PLC0415  # it imports torch
    except ModuleNotFoundError as error:
        print(  # noqa: T201  # the command's output
            f"secateur-engine: {error.name} is not installed: {how_to_install('engine')}",
            file=sys.stderr,
        )
        sys.exit(1)
    finally:
        gc.freeze()
        gc.enable()
    run()


def find_service() -> None:
    """Make the service's packages importable in this process and its children."""
    if not SERVICE.is_dir():
        return
    folder = str(SERVICE)
    sys.path.insert(0, folder)
    names = os.environ  # noqa: TID251  # changed for children, not read as settings
    names["PYTHONPATH"] = os.pathsep.join(filter(None, [folder, names.get("PYTHONPATH")]))
