"""Record the terminal session of docs/cli.md: ``python -m docs.record_session``.

The session runs five commands, from installation to a pruned model: it installs this source as a
wheel into a new environment, starts `secateur serve`, and runs a real job with a trained ResNet-20
and 12,000 images. The terminal's content is drawn into ``docs/session/session.svg``. The new
environment borrows torch and the other requirements from this one, to avoid downloading them. The
key is blacked out and the temporary folder is renamed. Takes some minutes.
"""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.text import Text

from docs.session.screen import Screen
from docs.session.terminal import COLUMNS, SessionError, Terminal, without_secrets
from examples.data import TEST, TRAIN, VALIDATION, Images, load_images
from examples.export_model import export_resnet20

ROOT = Path(__file__).parents[1]
TARGET = Path(__file__).parent / "session" / "session.svg"
SOURCES = ("app", "examples", "secateur", "worker", "pyproject.toml", "README.md", "LICENSE")
SHOWN_FOLDER = "/home/you/networks"
NUM_IMAGES = {TRAIN: 8000, VALIDATION: 2000, TEST: 2000}


def main() -> None:
    """Record the session and draw it."""
    with tempfile.TemporaryDirectory(prefix="secateur-session-") as name:
        home = Path(name)
        wheel = build_wheel(home)
        folder = home / "work"
        folder.mkdir()
        shutil.copy(wheel, folder)
        images = few(load_images())
        export_resnet20(images.name, folder / "model.pt2")
        images.write_npz(folder / "data.npz")
        terminal = Terminal(folder, environment(make_venv(home)))
        record(terminal, wheel.name, images)
    written = "".join(terminal.written).replace(str(folder), SHOWN_FOLDER)
    TARGET.write_text(draw(written), encoding="utf-8")


def record(terminal: Terminal, wheel: str, images: Images) -> None:
    """Run the five commands."""
    terminal.run(f"pip install --quiet '{wheel}[worker]'")
    mean, std = (round(number, 3) for number in (images.mean, images.std))
    with terminal.in_background("secateur serve", until="Stop with Ctrl-C."):
        terminal.written.append("\n")
        model = model_id(terminal.run("secateur push model.pt2 --name resnet20"))
        terminal.run(
            f"secateur prune {model} data.npz --macs 0.5 --round-to 16 --epochs 2 --wait "
            f'--preprocess \'{{"mean": [{mean}], "std": [{std}]}}\''
        )
        terminal.run("secateur pull latest --out pruned")


def model_id(text: str) -> str:
    """Return the id of the model in the output of a command, without its colours."""
    found = re.search(r"mdl_[0-9A-Z]+", text)
    if found is None:
        raise SessionError(f"the output names no model:\n{text}")
    return found[0]


def draw(written: str) -> str:
    """Return the final content of the terminal as SVG."""
    screen = Screen()
    screen.feed(without_secrets(written.replace("\r\n", "\n")))
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        console = Console(file=nowhere, record=True, width=COLUMNS, force_terminal=True)
        console.print(Text.from_ansi(screen.text()), overflow="fold")
        picture = console.export_svg(title="secateur", unique_id="session")
    return re.sub(
        r"\s*@font-face \{[^}]*\}", "", picture
    )  # the fonts would be fetched from another host


def few(images: Images) -> Images:
    """Return some images of each split."""
    random = np.random.default_rng(0)
    chosen = [
        random.permutation(np.flatnonzero(images.split == split))[:most]
        for split, most in NUM_IMAGES.items()
    ]
    index = np.sort(np.concatenate(chosen))
    return Images(
        images.name,
        images.x[index],
        images.y[index],
        images.split[index],
        images.class_names,
        images.mean,
        images.std,
    )


def build_wheel(home: Path) -> Path:
    """Build a wheel of this source from a copy, so that no build files stay here."""
    copy = home / "source"
    copy.mkdir()
    ignored = shutil.ignore_patterns("__pycache__")
    for name in SOURCES:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, copy / name, ignore=ignored)
        else:
            shutil.copy(source, copy)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps"]
    subprocess.run([*command, "--wheel-dir", home, copy], check=True)  # noqa: S603  # our own
    return next(home.glob("*.whl"))


def make_venv(home: Path) -> Path:
    """Create an environment with all packages of this one except Secateur."""
    venv = home / "venv"
    subprocess.run([sys.executable, "-m", "venv", venv], check=True)  # noqa: S603  # this Python
    packages = next((venv / "lib").glob("python*/site-packages"))
    (packages / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return venv


def environment(venv: Path) -> dict[str, str]:
    """Return the variables of a shell in which the virtual environment is activated."""
    names = os.environ  # noqa: TID251  # passed on to commands
    kept = {name: value for name, value in names.items() if not name.startswith("SECATEUR_")}
    return {
        **kept,
        "PATH": f"{venv / 'bin'}{os.pathsep}{names['PATH']}",
        "VIRTUAL_ENV": str(venv),
        "TERM": "xterm-256color",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "OMP_NUM_THREADS": names.get("OMP_NUM_THREADS", str(os.cpu_count() or 1)),
    }


if __name__ == "__main__":
    main()
