"""Private parts of uvicorn that `app.server` uses; run it to print their digests."""

import hashlib
import inspect
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

_OWNERS: dict[str, Any] = {
    "HttpToolsProtocol": HttpToolsProtocol,
    "RequestResponseCycle": RequestResponseCycle,
    "Server": uvicorn.Server,
    "ServerState": ServerState,
}

# Methods that are overridden, and mostly called; each by the digest of its source.
OVERRIDDEN: dict[str, str] = {
    "HttpToolsProtocol.__init__": "4f0899941034",
    "HttpToolsProtocol.connection_made": "6efb565ff3d3",
    "HttpToolsProtocol.connection_lost": "c91a4c9bf2e2",
    "HttpToolsProtocol.data_received": "010a7ae59a5d",
    "HttpToolsProtocol.on_message_begin": "96d377fdc7c2",
    "HttpToolsProtocol.on_headers_complete": "1ea8589acfad",
    "HttpToolsProtocol.on_body": "dba9c32aeba3",
    "HttpToolsProtocol.on_message_complete": "1fbad42dc31f",
    "HttpToolsProtocol.on_response_complete": "64e254f28e38",
    "HttpToolsProtocol.pause_writing": "17a8fd215d96",
    "HttpToolsProtocol.resume_writing": "7844bbaa8cce",
    "HttpToolsProtocol.timeout_keep_alive_handler": "8b53bf5f2e20",
    "HttpToolsProtocol.send_400_response": "ae5a4a3782b6",
    "HttpToolsProtocol._start_asgi_task": "9c08c2571ae9",
    "Server.startup": "2aa1d70a244b",
    "Server.shutdown": "9b33c5056299",
}
# Parts whose behaviour ours follows without calling or overriding them.
RELIED_ON: dict[str, str] = {
    "HttpToolsProtocol._unset_keepalive_if_required": "00a6a4e47214",
    "HttpToolsProtocol.shutdown": "d7351fa33f00",
    "RequestResponseCycle.__init__": "4d2f220910c3",
    "RequestResponseCycle.receive": "8124ae006be7",
    "RequestResponseCycle.send": "abdd8601b326",
    "Server._serve": "4575b7a50adf",
    "Server._wait_tasks_to_complete": "17209be1e991",
    "ServerState.__init__": "8daf3a9b4e4e",
}
# Attributes that are read, by the class that makes them.
ATTRIBUTES: dict[str, set[str]] = {
    "HttpToolsProtocol": {
        "connections", "cycle", "flow", "headers", "loop", "parser", "pipeline", "server_state",
        "timeout_keep_alive_task", "transport", "url",
    },
    "RequestResponseCycle": {
        "disconnected", "message_event", "more_body", "response_complete", "response_started",
        "scope", "transport",
    },
    "ServerState": {"default_headers"},
}  # fmt: skip
PARSER = {"get_method", "should_keep_alive"}  # of httptools


def digest(part: str) -> str:
    """Return the digest of the source of ``Class.method``."""
    owner, _, name = part.partition(".")
    source = inspect.getsource(vars(_OWNERS[owner])[name])
    return hashlib.sha256(source.encode()).hexdigest()[:12]


if __name__ == "__main__":
    for part in (*OVERRIDDEN, *RELIED_ON):
        print(f'    "{part}": "{digest(part)}",')  # noqa: T201  # what it is run for
