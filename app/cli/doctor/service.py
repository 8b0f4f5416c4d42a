"""Service check: a running service is ready and accepts the API key."""

import socket
from collections.abc import Iterator

from app.cli.doctor.finding import Finding, Status
from secateur import (
    AuthenticationError,
    Client,
    ConfigurationError,
    ConnectionFailedError,
    PermissionDeniedError,
    SecateurError,
)
from secateur.core.connection import is_this_machine
from secateur.local import DEFAULT_URL

_NAME = "service"
_SECONDS = 10.0


def check_service(url: str | None, api_key: str | None) -> Iterator[Finding]:
    """Check the service that commands would use."""
    try:
        client = Client(url, api_key, timeout=_SECONDS, retries=0)
    except ConfigurationError as error:
        yield Finding(_NAME, Status.FAIL, str(error), "correct SECATEUR_URL and SECATEUR_KEY")
        return
    with client:
        yield from _ask(client)


def _ask(client: Client) -> Iterator[Finding]:
    where = f"{client.url} (from {client.target.url_source})"
    try:
        client.ready()
    except ConnectionFailedError:
        yield _unreachable(client, where)
        return
    except SecateurError as error:
        advice = "see the service's log, or run secateur doctor on its machine"
        yield Finding(_NAME, Status.FAIL, f"{where} is not ready: {error}", advice)
        return
    yield Finding(_NAME, Status.OK, f"{where} is ready")
    try:
        tenant = client.quotas().tenant
    except (AuthenticationError, PermissionDeniedError) as error:
        advice = "set SECATEUR_KEY; create a key with secateur keys create on the service's machine"
        yield Finding(
            "key", Status.FAIL, f"from {client.target.key_source}: {error.detail}", advice
        )
    except SecateurError as error:
        yield Finding("key", Status.FAIL, str(error), "try again")
    else:
        detail = f"from {client.target.key_source}, of tenant {tenant}"
        yield Finding("key", Status.OK, detail)


def _unreachable(client: Client, where: str) -> Finding:
    if client.target.url_source != "the default":
        advice = "start it with secateur serve, or correct SECATEUR_URL"
        return Finding(_NAME, Status.FAIL, f"nothing answers at {where}", advice)
    host, port = DEFAULT_URL.removeprefix("http://").split(":")
    with socket.socket() as probe:
        is_taken = probe.connect_ex((host, int(port))) == 0
    if is_taken and is_this_machine(client.url):
        detail = f"another program listens on port {port}, the default port of secateur serve"
        return Finding(_NAME, Status.NOTE, detail, "secateur serve --port 0 picks a free port")
    return Finding(_NAME, Status.OK, "no service runs in this folder: secateur serve starts one")
