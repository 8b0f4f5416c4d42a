"""The list of system calls: right numbers, and the same verdicts on both machines."""

import errno
import re
from pathlib import Path

import pytest

from app.sandbox.needs import Needs
from app.sandbox.seccomp import Line, compile_filter
from app.sandbox.syscalls import NEWEST, allowed_calls

HEADERS = {
    "x86_64": Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
    "aarch64": Path("/usr/include/asm-generic/unistd.h"),
}
COLUMNS = {"x86_64": 1, "aarch64": 2}
CONVENTIONS = {"x86_64": 0xC000_003E, "aarch64": 0xC000_00B7}
PID, OTHER = 4711, 1
# The generic header calls it by the name of 32-bit machines.
RENAMED = {"newfstatat": "fstatat"}
EVERY_NEED = Needs(gpu=True, compiler=True, sockets=True)


def numbers(needs: Needs, machine: str) -> dict[str, int]:
    calls = [call.split() for group in allowed_calls(needs, PID) for call in group.calls.split(",")]
    column = COLUMNS[machine]
    return {call[0]: int(call[column]) for call in calls if call[column] != "-"}


def verdict(
    machine: str, number: int, *arguments: int, needs: Needs | None = None, convention: int = 0
) -> str:
    """Return how the filter answers: "allowed", or the name of the error."""
    data = {0: number, 4: convention or CONVENTIONS[machine]}
    data |= {16 + 8 * index: value & 0xFFFF_FFFF for index, value in enumerate(arguments)}
    return run(compile_filter(machine, allowed_calls(needs or Needs(), PID)), data)


def run(program: list[Line], data: dict[int, int]) -> str:
    """Run a filter as the kernel does."""
    line = register = 0
    while True:
        code, if_true, if_false, operand = program[line]
        line += 1
        if code == 0x20:
            register = data.get(operand, 0)
        elif code == 0x54:
            register &= operand
        elif code == 0x15:
            line += if_true if register == operand else if_false
        elif code == 0x25:
            line += if_true if register > operand else if_false
        elif operand == 0x7FFF_0000:
            return "allowed"
        else:
            assert operand >> 16 == 5, "an error"
            return errno.errorcode[operand & 0xFFFF]


@pytest.mark.parametrize("machine", HEADERS)
def test_numbers_are_those_of_the_kernels_headers(machine: str) -> None:
    if not HEADERS[machine].exists():
        pytest.skip("the kernel's headers are not installed")
    text = HEADERS[machine].read_text()
    known = {name: int(n) for name, n in re.findall(r"#define __NR(?:3264)?_(\w+) (\d+)\b", text)}
    for name, number in numbers(EVERY_NEED, machine).items():
        assert known[RENAMED.get(name, name) if machine == "aarch64" else name] == number, name


@pytest.mark.parametrize("machine", HEADERS)
def test_every_other_number_is_refused(machine: str) -> None:
    allowed = set(numbers(Needs(), machine).values())
    for number in {*range(NEWEST + 50), 0x4000_0000, 0x4000_0027, 0xFFFF_FFFF} - allowed:
        missing = number > NEWEST or number == 435
        assert verdict(machine, number) == ("ENOSYS" if missing else "EPERM"), number


@pytest.mark.parametrize("machine", HEADERS)
def test_another_calling_convention_is_refused(machine: str) -> None:
    read = numbers(Needs(), machine)["read"]
    assert verdict(machine, read) == "allowed"
    assert verdict(machine, read, convention=0x4000_0003) == "EPERM"


@pytest.mark.parametrize("machine", HEADERS)
@pytest.mark.parametrize("call", ["prlimit64", "sched_setaffinity", "getpgid", "getsid"])
def test_a_process_is_the_only_one_it_may_name(machine: str, call: str) -> None:
    number = numbers(Needs(), machine)[call]
    assert verdict(machine, number, 0) == verdict(machine, number, PID) == "allowed"
    assert verdict(machine, number, OTHER) == "EPERM"
    assert verdict(machine, number, OTHER + (1 << 32)) == "EPERM", "the kernel reads 32 bits"


@pytest.mark.parametrize("machine", HEADERS)
def test_signals_go_to_the_process_itself(machine: str) -> None:
    for call in ("kill", "tgkill"):
        number = numbers(Needs(), machine)[call]
        assert verdict(machine, number, PID) == "allowed"
        assert {verdict(machine, number, pid) for pid in (0, -1, -PID, OTHER)} == {"EPERM"}


@pytest.mark.parametrize("machine", HEADERS)
def test_threads_are_started_and_processes_only_where_needed(machine: str) -> None:
    clone = numbers(Needs(), machine)["clone"]
    thread, process = 0x3D0F00, 0x1200011  # glibc's flags
    assert verdict(machine, clone, thread) == "allowed"
    assert verdict(machine, clone, process) == "EPERM"
    for needs in (Needs(compiler=True), Needs(gpu=True)):
        assert verdict(machine, clone, process, needs=needs) == "allowed"
        for namespace in (0x2_0000, *(1 << bit for bit in range(25, 31))):
            assert verdict(machine, clone, process | namespace, needs=needs) == "EPERM"


@pytest.mark.parametrize("machine", HEADERS)
def test_a_gpu_is_driven_by_ioctl_and_a_terminal_is_not(machine: str) -> None:
    ioctl = numbers(Needs(), machine)["ioctl"]
    nvidia, uvm, type_in, get_size = 0xC020_462B, 0x3000_0001, 0x5412, 0x5413
    assert verdict(machine, ioctl, 0, get_size) == "allowed"
    assert verdict(machine, ioctl, 0, nvidia) == "ENOTTY"
    for code in (nvidia, uvm):
        assert verdict(machine, ioctl, 0, code, needs=Needs(gpu=True)) == "allowed"
    for needs in (Needs(), Needs(compiler=True), Needs(gpu=True)):
        assert verdict(machine, ioctl, 0, type_in, needs=needs) == "ENOTTY"
