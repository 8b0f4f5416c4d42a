"""Entry point of the API process: ``python -m app.server [--fd NUMBER]``."""

import argparse
import socket
import sys

from app.contracts.errors import UnavailableError
from app.contracts.settings import load_settings
from app.main import create_app
from app.server.server import make_server
from app.telemetry.logs import configure_logging


def main() -> None:
    """Load the settings and serve until SIGTERM; exit if the provider cannot serve."""
    parser = argparse.ArgumentParser(prog="python -m app.server")
    parser.add_argument("--fd", type=int, help="A socket that listens already.")
    number = parser.parse_args().fd
    settings = load_settings()
    configure_logging(settings)
    try:
        app = create_app(settings)
    except UnavailableError as error:
        sys.exit(f"secateur: {error.message}")
    server = make_server(app, settings)
    # Given only the number, uvicorn assumes a Unix socket and leaves Nagle's algorithm on.
    server.run(None if number is None else [socket.socket(fileno=number)])


if __name__ == "__main__":
    main()
