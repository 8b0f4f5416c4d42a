"""``secateur mcp``."""

import typer

from app.cli.client import Key, Url
from app.cli.examples import examples
from secateur.async_client import AsyncClient
from secateur.mcp_server import create_server

app = typer.Typer(add_completion=False)


@app.command("mcp", epilog=examples("secateur mcp --url http://127.0.0.1:8000"))
def mcp_command(url: Url = None, key: Key = None) -> None:
    """Serve the service's operations to an assistant as MCP tools on standard input and output.

    An assistant that supports the Model Context Protocol starts this command itself; add it to
    the assistant's list of servers.
    """
    create_server(AsyncClient(url, key)).run("stdio")
