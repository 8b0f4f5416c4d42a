"""``secateur keys`` on a temporary database."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from app.cli.main import app
from app.contracts.settings import Settings
from app.records.database import create_database
from tests.fixtures.databases import migrate


@pytest.fixture(autouse=True)
def _settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECATEUR_DATA_DIR", str(tmp_path))


@pytest.fixture
def database(tmp_path: Path) -> None:
    engine = create_database(Settings(data_dir=tmp_path).database_url)
    migrate(engine)
    engine.dispose()


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["keys", *arguments], catch_exceptions=False)


def as_json(*arguments: str) -> dict[str, object]:
    found: dict[str, object] = json.loads(run(*arguments, "--json").stdout)
    return found


@pytest.mark.usefixtures("database")
def test_a_key_is_created_listed_rotated_and_revoked() -> None:
    made = as_json(
        *("create", "--tenant", "acme", "--scope", "infer", "--scope", "jobs:read"),
        *("--expires-in", "30d", "--name", "robot"),
    )
    assert (made["tenant"], made["name"], made["scopes"]) == (
        "acme",
        "robot",
        ["jobs:read", "infer"],
    )
    assert made["expires_at"] is not None
    successor = as_json("rotate", str(made["id"]), "--overlap", "24h")
    revoked = as_json("revoke", str(successor["id"]))
    assert revoked["revoked_at"] is not None
    run("create", "--scope", "admin")
    listed = json.loads(run("list", "--tenant", "acme", "--json").stdout)
    states = [(row["id"], row["state"]) for row in listed]
    assert states == [(made["id"], "replaced"), (successor["id"], "revoked")]
    assert "key" not in listed[0]
    table = run("list").stdout
    assert str(made["id"]) in table
    assert str(made["key"]).split("_", 2)[2] not in table


@pytest.mark.usefixtures("database")
def test_standard_output_holds_only_the_key() -> None:
    result = run("create", "--scope", "admin")
    assert result.stdout.startswith("sec_")
    assert len(result.stdout.splitlines()) == 1
    assert "default" in result.stderr


@pytest.mark.usefixtures("database")
@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("create", "--scope", "everything"), 1, "the scopes are models:read"),
        (("create",), 2, "--scope"),
        (("create", "--scope", "infer", "--expires-in", "soon"), 2, "'soon'"),
        (("revoke", "key_x"), 1, "no key 'key_x'"),
        (("rotate", "key_x"), 1, "no key 'key_x'"),
    ],
)
def test_invalid_arguments_are_reported(arguments: tuple[str, ...], code: int, words: str) -> None:
    result = run(*arguments)
    assert result.exit_code == code
    assert words in result.stderr
    assert result.stdout == ""


def test_a_database_without_tables_gives_advice_instead_of_a_traceback() -> None:
    result = run("list")
    assert (result.exit_code, "secateur migrate" in result.stderr) == (1, True)
