"""The worker opens by path only files that no job's process can write, or through `untrusted`."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[3]
# The pipeline runs in the job's process, and the command line's jobs are its user's own.
_INSIDE = ("worker/pipeline/", "worker/cli/", "worker/fork_server/__main__.py")
_OPENS = {
    "open", "read_text", "read_bytes", "write_text", "write_bytes", "stat", "lstat", "exists",
    "is_file", "is_dir", "iterdir", "glob", "rglob", "rmtree", "copy", "copyfile", "move",
    "copytree", "extract", "extractall", "link_to", "symlink_to", "readlink", "resolve", "touch",
    "scandir", "listdir", "walk",
}  # fmt: skip
# By file: what is opened there, and why no job's process can have replaced it.
TRUSTED = {
    "worker/checkpoint_tar.py": {
        "open",  # the tar and its unpacked copy lie beside the process's folder
    },
    "worker/checkpoints.py": {"read_text", "write_text"},  # the token, beside the folder
    "worker/disk_watch.py": {
        "iterdir",  # the kernel's own /proc
        "lstat",
        "scandir",  # sizes only: a folder swapped for a link makes the sum wrong, for its own job
        "stat",  # deleted files that the job holds open, through /proc
    },
    "worker/endings.py": {"open"},  # the log and the copies, beside the folder
    "worker/fitness.py": {"write_text"},  # the probe, before its process starts
    "worker/fork_server/client.py": {"open"},  # the log, beside the folder
    "worker/health.py": {"stat", "touch"},  # the heartbeat file of the worker
    "worker/memory_kills.py": {"read_text"},  # the kernel's counts
    "worker/metrics.py": {"exists"},  # the folder of scratch files
    "worker/orphans.py": {
        "glob",  # names of folders that only workers make
        "read_text",  # the kernel's own /proc/PID/stat
        "write_text",  # the record of processes, beside the folder
    },
    "worker/process_watch.py": {"iterdir", "read_text"},  # the kernel's own /proc
    "worker/supervisor.py": {"write_text"},  # the request, before the process starts
}
_UNTRUSTED = {"UntrustedFolder", "folder", "opened"}  # names whose `open` is that of the module


def opened_in(path: Path) -> set[str]:
    """Return the names of calls in a file that open or look up paths."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Call):
            continue
        if isinstance(node.func, ast.Name) and node.func.id in _OPENS:
            found.add(node.func.id)
        elif isinstance(node.func, ast.Attribute) and node.func.attr in _OPENS:
            owner = node.func.value
            if not (isinstance(owner, ast.Name) and owner.id in _UNTRUSTED):
                found.add(node.func.attr)
    return found


def test_only_trusted_files_are_opened_by_path() -> None:
    found = {}
    for path in sorted((ROOT / "worker").rglob("*.py")):
        name = str(path.relative_to(ROOT))
        if not name.startswith(_INSIDE) and (calls := opened_in(path)):
            found[name] = calls
    assert found == TRUSTED
