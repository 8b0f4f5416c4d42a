"""``secateur keys``: create, list, rotate and revoke API keys in the service's database."""

import json
import re
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.table import Column, Table

from app.cli.output import console
from app.cli.rows import open_rows
from app.keys import service
from app.keys.scopes import SCOPES
from app.records.database import current_time, reading
from app.records.tables import ApiKeyRow

app = typer.Typer(
    help="Create, list, rotate and revoke API keys.", no_args_is_help=True, add_completion=False
)

_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}
_DURATION = re.compile(r"(\d{1,9})([smhd]?)")


def _seconds(text: str) -> float:
    """Parse a duration such as ``90``, ``15m``, ``12h`` or ``30d`` into seconds."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise typer.BadParameter(
            f"{text!r} is not a duration: use seconds, or a number followed by s, m, h or d"
        )
    return float(match[1]) * _UNITS[match[2]]


Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
KeyId = Annotated[str, typer.Argument(help="Key id, such as key_01JD….", metavar="ID")]


@app.command("create")
def create(
    scope: Annotated[
        list[str], typer.Option(help=f"Scope to grant; repeatable: {', '.join(SCOPES)}.")
    ],
    tenant: Annotated[
        str, typer.Option(help="Tenant that the key belongs to.")
    ] = service.DEFAULT_TENANT,
    name: Annotated[str, typer.Option(help="Label for the key.")] = "cli",
    expires_in: Annotated[
        float | None,
        typer.Option(
            parser=_seconds,
            metavar="SECONDS",
            help="Lifetime, also as 15m, 12h or 30d. Default: none.",
        ),
    ] = None,
    *,
    as_json: Json = False,
) -> None:
    """Create an API key and print it. It is shown only once."""
    with open_rows() as sessions:
        row, plaintext = service.create_key(sessions, tenant, name, scope, expires_in)
    _print_secret(row, plaintext, is_json=as_json)


@app.command("list")
def list_(
    tenant: Annotated[str | None, typer.Option(help="Only keys of this tenant.")] = None,
    *,
    as_json: Json = False,
) -> None:
    """List keys, oldest first. Secrets are not stored and cannot be shown."""
    with open_rows() as sessions:
        rows = service.list_keys(sessions, tenant)
        with reading(sessions) as session:
            now = current_time(session)
    if as_json:
        typer.echo(
            json.dumps([{**_shown(row), "state": service.state_of(row, now)} for row in rows])
        )
        return
    # Users copy ids from here, so narrow terminals fold the other columns.
    id_column = Column("id", min_width=30, no_wrap=True)
    table = Table(id_column, "tenant", "name", "scopes", "state", "expires", "last used")
    for row in rows:
        scopes, state = " ".join(row.scopes), service.state_of(row, now)
        times = (_time(row.expires_at) or "never", _time(row.last_used_at) or "never")
        table.add_row(row.id, row.tenant, row.name, scopes, state, *times)
    console().print(table)


@app.command("rotate")
def rotate(
    key_id: KeyId,
    overlap: Annotated[
        float,
        typer.Option(
            parser=_seconds, metavar="SECONDS", help="How long the old key stays valid, e.g. 24h."
        ),
    ] = "1h",  # type: ignore[assignment]  # typer parses defaults as well
    *,
    as_json: Json = False,
) -> None:
    """Replace a key and print the new one. The old key expires after the overlap."""
    with open_rows() as sessions:
        old, new, plaintext = service.rotate_key(sessions, key_id, overlap)
    _print_secret(new, plaintext, is_json=as_json)
    if not as_json:
        typer.echo(f"{old.id} is valid until {_time(old.expires_at)}.", err=True)


@app.command("revoke")
def revoke(key_id: KeyId, *, as_json: Json = False) -> None:
    """Revoke a key. Every API process rejects it within a second."""
    with open_rows() as sessions:
        row = service.revoke_key(sessions, key_id)
    typer.echo(json.dumps(_shown(row)) if as_json else f"{row.id} is revoked.")


def _print_secret(row: ApiKeyRow, plaintext: str, *, is_json: bool) -> None:
    """Print the key on standard output and the rest on standard error, so ``$(…)`` captures it."""
    if is_json:
        typer.echo(json.dumps({**_shown(row), "key": plaintext}))
        return
    typer.echo(plaintext)
    end = _time(row.expires_at) or "revoked"
    what = f"{row.id}: tenant {row.tenant}, {', '.join(row.scopes)}, valid until {end}"
    typer.echo(f"{what}. The key is not shown again.", err=True)


def _shown(row: ApiKeyRow) -> dict[str, Any]:
    return {
        "id": row.id,
        "tenant": row.tenant,
        "name": row.name,
        "scopes": row.scopes,
        "created_at": _time(row.created_at),
        "expires_at": _time(row.expires_at),
        "revoked_at": _time(row.revoked_at),
        "last_used_at": _time(row.last_used_at),
        "replaced_by": row.replaced_by,
    }


def _time(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
