"""The system calls that a process in the sandbox may make. All others are refused.

A line of a group has the call's name and its numbers on x86-64 and aarch64 (``-``: that machine
does not have it), from the kernel's `asm/unistd_64.h` and `asm-generic/unistd.h`. Where an argument
decides, the group has a `Check`. Numbers of calls that are newer than `NEWEST` get ENOSYS, because
libraries then use an older call. docs/decisions/0039-system-calls-of-a-job.md says why each large
part of the kernel is left out.
"""

import errno
from collections.abc import Sequence
from dataclasses import dataclass

from app.sandbox.needs import Needs

NEWEST = 462  # mseal, Linux 6.10

_THREAD = 0x0001_0000
# CLONE_PTRACE, CLONE_PARENT and every CLONE_NEW…: namespaces, tracing, and other parents.
_NOT_FOR_CHILDREN = 0x0000_2000 | 0x0000_8000 | 0x0002_0000 | 0x7E00_0000
_SHARED_ANONYMOUS = 0x21  # MAP_SHARED and MAP_ANONYMOUS
_TERMINAL = 0x5400  # type of the ioctl numbers of terminals


@dataclass(frozen=True)
class Check:
    """Condition on the low 32 bits of one argument, the ones that the kernel uses.

    Attributes:
        argument: Its index.
        values: The call is allowed if the masked argument is one of them.
        mask: Bits to compare.
        is_inverse: Whether the call is allowed if the argument is none of the values instead.
    """

    argument: int
    values: Sequence[int]
    mask: int = 0xFFFF_FFFF
    is_inverse: bool = False


@dataclass(frozen=True)
class Group:
    """System calls that are allowed for one reason.

    Attributes:
        reason: Why a job needs them.
        calls: Name and numbers on x86-64 and aarch64, separated by commas.
        check: Condition on an argument; None: always allowed.
        error: Error if the condition is not met.
    """

    reason: str
    calls: str
    check: Check | None = None
    error: int = errno.EPERM


def allowed_calls(needs: Needs, pid: int) -> list[Group]:
    """Return what the process ``pid`` may call.

    The kernel remembers which calls are always allowed. The filter runs only for the others, in
    this order, so frequent calls come first.
    """
    own = Check(0, (0, pid))
    groups = [
        Group(
            "Memory. Shared memory without a file is refused: once it is filled and unmapped, no "
            "process is charged for it.",
            "mmap 9 222",
            None
            if needs.gpu
            else Check(3, (_SHARED_ANONYMOUS,), _SHARED_ANONYMOUS, is_inverse=True),
        ),
        Group(
            "Descriptors: duplicate, lock, set flags. Not F_SETOWN and F_SETSIG, which send "
            "signals to other processes, and not F_NOTIFY and F_SETLEASE, which watch files.",
            "fcntl 72 25",
            Check(1, (0, 1, 2, 3, 4, 5, 6, 7, 36, 37, 38, 1030, 1031, 1032, 1033, 1034)),
        ),
        Group(
            "Whether a file is a terminal, its size, bytes to read, flags of descriptors. "
            "NVIDIA's devices are driven by ioctl, so a job on a GPU is refused only what drives "
            "terminals.",
            "ioctl 16 29",
            Check(1, (_TERMINAL,), 0xFF00, is_inverse=True) if needs.gpu else Check(1, _IOCTLS),
            errno.ENOTTY,
        ),
        Group(
            "Threads, and processes if the job starts programs; neither with new namespaces.",
            "clone 56 220",
            Check(0, (0,), _NOT_FOR_CHILDREN)
            if needs.programs
            else Check(0, (_THREAD,), _THREAD | _NOT_FOR_CHILDREN),
        ),
        Group(
            "Time. A negative clock is the CPU time of a process, and says whether it exists.",
            "clock_gettime 228 113, clock_getres 229 114, clock_nanosleep 230 115",
            Check(0, (0,), 0xFFFF_FFF0),
        ),
        Group(
            "Names of threads and of memory, vector lengths; not the death signal, dumps, "
            "capabilities, tracers, other filters.",
            "prctl 157 167",
            Check(0, _PRCTLS),
            errno.EINVAL,
        ),
        Group("Limits of this process; not of others.", "prlimit64 302 261", own),
        Group(
            "Cores and group of this process; not of others.",
            "sched_getaffinity 204 123, sched_setaffinity 203 122, sched_getparam 143 121, "
            "sched_getscheduler 145 120, getpgid 121 155, getsid 124 156",
            own,
        ),
        Group("Priority of this process.", "getpriority 140 141", Check(1, (0,))),
        Group(
            "abort() and signals between threads.", "kill 62 129, tgkill 234 131", Check(0, (pid,))
        ),
        *_ALWAYS,
    ]
    if needs.programs:
        groups += _PROGRAMS
    if needs.gpu:
        groups += _GPU
    if needs.sockets or needs.gpu:
        groups += _SOCKETS
    return groups


# TCGETS, TIOCGWINSZ, FIONREAD, FIONBIO, FIONCLEX, FIOCLEX, TCGETS2.
_IOCTLS = (0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451, 0x802C_542A)
# PR_GET_PDEATHSIG, PR_GET_DUMPABLE, PR_SET_NAME, PR_GET_NAME, PR_GET_SECCOMP, PR_CAPBSET_READ,
# PR_GET_TIMERSLACK, PR_GET_NO_NEW_PRIVS, PR_GET_THP_DISABLE, PR_SVE_SET_VL, PR_SVE_GET_VL,
# PR_PAC_RESET_KEYS, PR_GET_TAGGED_ADDR_CTRL, PR_SME_SET_VL, PR_SME_GET_VL, PR_SET_VMA.
_PRCTLS = (2, 3, 15, 16, 21, 23, 30, 39, 42, 50, 51, 54, 56, 63, 64, 0x5356_4D41)

_ALWAYS = (
    Group(
        "Open descriptors.",
        "read 0 63, write 1 64, readv 19 65, writev 20 66, pread64 17 67, pwrite64 18 68, "
        "preadv 295 69, pwritev 296 70, preadv2 327 286, pwritev2 328 287, sendfile 40 71, "
        "copy_file_range 326 285, lseek 8 62, close 3 57, close_range 436 436, dup 32 23, "
        "dup2 33 -, dup3 292 24, fsync 74 82, fdatasync 75 83, fallocate 285 47, "
        "ftruncate 77 46, fadvise64 221 223, readahead 187 213, flock 73 32",
    ),
    Group(
        "Paths; Landlock decides which. It cannot refuse a change of owner, mode, times or "
        "attributes, so all calls that make one are left out.",
        "open 2 -, openat 257 56, openat2 437 437, creat 85 -, access 21 -, faccessat 269 48, "
        "faccessat2 439 439, stat 4 -, lstat 6 -, fstat 5 80, newfstatat 262 79, statx 332 291, "
        "statfs 137 43, fstatfs 138 44, getdents 78 -, getdents64 217 61, getcwd 79 17, "
        "chdir 80 49, fchdir 81 50, readlink 89 -, readlinkat 267 78, mkdir 83 -, mkdirat 258 34, "
        "rmdir 84 -, unlink 87 -, unlinkat 263 35, rename 82 -, renameat 264 38, "
        "renameat2 316 276, truncate 76 45, umask 95 166",
    ),
    Group(
        "Memory of this process.",
        "munmap 11 215, mprotect 10 226, mremap 25 216, madvise 28 233, brk 12 214, msync 26 227, "
        "mbind 237 235, get_mempolicy 239 236, membarrier 324 283, pkey_alloc 330 289, "
        "pkey_free 331 290, pkey_mprotect 329 288",
    ),
    Group(
        "Threads, and their end.",
        "futex 202 98, futex_waitv 449 449, set_robust_list 273 99, set_tid_address 218 96, "
        "rseq 334 293, exit 60 93, exit_group 231 94, gettid 186 178, getpid 39 172, "
        "getppid 110 173, getpgrp 111 -, restart_syscall 219 128, sched_yield 24 124, "
        "getcpu 309 168, sched_get_priority_max 146 125, sched_get_priority_min 147 126, "
        "arch_prctl 158 -, wait4 61 260, waitid 247 95",
    ),
    Group(
        "Signals that it gets.",
        "rt_sigaction 13 134, rt_sigprocmask 14 135, rt_sigreturn 15 139, rt_sigpending 127 136, "
        "rt_sigtimedwait 128 137, rt_sigsuspend 130 133, sigaltstack 131 132, signalfd4 289 74, "
        "pause 34 -",
    ),
    Group(
        "Timers.",
        "nanosleep 35 101, gettimeofday 96 169, time 201 -, times 100 153, alarm 37 -, "
        "setitimer 38 103, getitimer 36 102, timer_create 222 107, timer_settime 223 110, "
        "timer_gettime 224 108, timer_getoverrun 225 109, timer_delete 226 111, "
        "timerfd_create 283 85, timerfd_settime 286 86, timerfd_gettime 287 87",
    ),
    Group(
        "Waiting for descriptors; pipes.",
        "poll 7 -, ppoll 271 73, select 23 -, pselect6 270 72, epoll_create 213 -, "
        "epoll_create1 291 20, epoll_ctl 233 21, epoll_wait 232 -, epoll_pwait 281 22, "
        "epoll_pwait2 441 441, eventfd 284 -, eventfd2 290 19, pipe 22 -, pipe2 293 59",
    ),
    Group(
        "Facts about this process and the machine; random numbers.",
        "getuid 102 174, geteuid 107 175, getgid 104 176, getegid 108 177, getresuid 118 148, "
        "getresgid 120 150, getgroups 115 158, uname 63 160, sysinfo 99 179, getrusage 98 165, "
        "getrlimit 97 163, setrlimit 160 164, getrandom 318 278",
    ),
)

_PROGRAMS = (
    Group(
        "Other programs: Landlock allows those of the system and of Python. Not execveat, which "
        "runs a descriptor. They stay in the job's process group, because setsid and setpgid are "
        "left out, so one signal ends them all.",
        "execve 59 221, fork 57 -, vfork 58 -",
    ),
)

# Driver 570 needs memfd_create to initialise (https://github.com/NVIDIA/OpenShell/issues/1696).
# For the others nobody has shown a need; they concern this process only, and none of our tests
# runs on a GPU.
_GPU = (
    Group(
        "What NVIDIA's driver needs, or may need: memory with a descriptor, pinned memory, memory "
        "of a node, pairs of connected sockets.",
        "memfd_create 319 279, mlock 149 228, mlock2 325 284, munlock 150 229, mincore 27 232, "
        "set_mempolicy 238 237, splice 275 76, socketpair 53 199",
    ),
)

_SOCKETS = (
    Group(
        "Sockets that are open already.",
        "sendmsg 46 211, recvmsg 47 212, sendto 44 206, recvfrom 45 207, shutdown 48 210, "
        "getsockname 51 204, getsockopt 55 209",
    ),
)
