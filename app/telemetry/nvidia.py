"""GPUs and MIG devices of this machine, as ``nvidia-smi`` reports them; nothing here starts CUDA.

A GPU that is divided into MIG devices computes only through them, so they stand in its place.
The driver's lists of values (``--query-gpu``) know GPUs only.
"""

import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from typing import NamedTuple
from xml.etree import ElementTree as ET

Ask = Callable[[Sequence[str]], str]

_TIMEOUT_SECONDS = 5.0
_MEBIBYTE = 1024**2
_GPU = re.compile(r"GPU (?P<number>\d+): (?P<name>.+) \(UUID: (?P<uuid>\S+)\)")
_MIG = re.compile(r"MIG (?P<name>\S+) +Device +(?P<number>\d+): \(UUID: (?P<uuid>\S+)\)")


class Listed(NamedTuple):
    """A GPU, or a MIG device, in the driver's list.

    Attributes:
        uuid: Starts with ``GPU-`` or ``MIG-``.
        name: Model of the GPU, with the profile of a MIG device.
        gpu: UUID of the GPU.
        gpu_number: The driver's number of the GPU.
        mig_number: Number of a MIG device on its GPU; None: a whole GPU.
    """

    uuid: str
    name: str
    gpu: str
    gpu_number: int
    mig_number: int | None = None


class Memory(NamedTuple):
    """Memory of a GPU or a MIG device."""

    uuid: str
    name: str
    used_bytes: int
    total_bytes: int


def ask_driver(arguments: Sequence[str], timeout_seconds: float = _TIMEOUT_SECONDS) -> str:
    """Return what ``nvidia-smi`` prints for some arguments.

    Raises:
        OSError: It is missing or cannot be run.
        SubprocessError: It fails, or does not answer in time.
    """
    program = shutil.which("nvidia-smi")
    if program is None:
        raise FileNotFoundError("nvidia-smi is not on PATH")
    done = subprocess.run(  # noqa: S603  # found on PATH, fixed arguments
        [program, *arguments],
        check=True,
        capture_output=True,
        text=True,
        timeout=timeout_seconds,
    )
    return done.stdout


def list_devices(ask: Ask = ask_driver) -> tuple[Listed, ...]:
    """Return the MIG devices of each GPU that has some, and the other GPUs, in the driver's order.

    Args:
        ask: Returns what ``nvidia-smi`` prints for some arguments.

    Raises:
        OSError: As in `ask_driver`.
        SubprocessError: Likewise.
    """
    gpus: list[tuple[Listed, list[Listed]]] = []
    for line in map(str.strip, ask(["-L"]).splitlines()):
        if match := _GPU.fullmatch(line):
            uuid = match["uuid"]
            gpus.append((Listed(uuid, match["name"], uuid, int(match["number"])), []))
        elif gpus and (match := _MIG.fullmatch(line)):
            gpu, migs = gpus[-1]
            name, number = f"{gpu.name} MIG {match['name']}", int(match["number"])
            migs.append(gpu._replace(uuid=match["uuid"], name=name, mig_number=number))
    return tuple(device for gpu, migs in gpus for device in migs or [gpu])


def read_memory(chosen: Sequence[str] = (), ask: Ask = ask_driver) -> tuple[Memory, ...]:
    """Return the memory of GPUs and MIG devices.

    Args:
        chosen: UUIDs, or numbers of GPUs; empty: all.
        ask: Returns what ``nvidia-smi`` prints for some arguments.

    Raises:
        OSError: As in `ask_driver`.
        SubprocessError: Likewise.
        ValueError: The driver's answer cannot be read.
    """
    listed = [
        device
        for device in list_devices(ask)
        if not chosen or {device.uuid, device.gpu, str(device.gpu_number)} & set(chosen)
    ]
    gpus = {device.gpu for device in listed}
    if not gpus:
        return ()
    # It describes every GPU at length, unless one is named.
    only = [f"--id={gpus.pop()}"] if len(gpus) == 1 else []
    found = {gpu.findtext("uuid", "").strip(): gpu for gpu in _parse(ask(["-q", "-x", *only]))}
    return tuple(_memory(device, found) for device in listed)


def _parse(text: str) -> list[ET.Element]:
    if "<!ENTITY" in text:  # it may stand for more text than there is memory
        raise ValueError("the driver's XML declares an entity")
    try:
        return ET.fromstring(text).findall("gpu")  # noqa: S314  # without entities
    except ET.ParseError as error:
        raise ValueError(f"the driver's answer is not XML: {error}") from error


def _memory(device: Listed, gpus: dict[str, ET.Element]) -> Memory:
    part = gpus.get(device.gpu)
    if part is not None and device.mig_number is not None:
        number = str(device.mig_number)
        migs = part.findall("mig_devices/mig_device")
        # Drivers do not always write the UUIDs here; the numbers are those of the list.
        part = next((mig for mig in migs if mig.findtext("index", "").strip() == number), None)
    if part is None:
        raise ValueError(f"the driver does not describe {device.uuid}")
    used, total = (
        _bytes(part.findtext(f"fb_memory_usage/{name}", "")) for name in ("used", "total")
    )
    return Memory(device.uuid, device.name, used, total)


def _bytes(text: str) -> int:
    """Return the bytes of, for example, ``4864 MiB``."""
    number, _, unit = text.strip().partition(" ")
    if unit != "MiB":
        raise ValueError(f"{text.strip()!r} is not a number of MiB")
    return int(number) * _MEBIBYTE
