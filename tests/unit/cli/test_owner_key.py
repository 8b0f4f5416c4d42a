"""Files that ``secateur serve`` writes for local commands: its API key and its address."""

from pathlib import Path

import pytest

from app.cli.serve import _address_file, _prepare_database
from app.contracts.settings import Settings
from app.keys.service import authenticate, list_keys, revoke_key
from app.records.database import create_database, create_sessions
from secateur.local import find_local


def test_the_printed_key_stays_the_same_until_it_is_revoked(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    first = _prepare_database(settings)
    assert _prepare_database(settings) == first
    file = tmp_path / "api-key"
    assert (file.read_text().strip(), file.stat().st_mode & 0o777) == (first, 0o600)
    engine = create_database(settings.database_url)
    sessions = create_sessions(engine)
    revoke_key(sessions, list_keys(sessions)[0].id)
    second = _prepare_database(settings)
    assert second == file.read_text().strip() != first
    assert authenticate(sessions, second)[0].scopes == ["admin", "operator"]
    assert file.stat().st_mode & 0o777 == 0o600
    engine.dispose()


@pytest.mark.parametrize(
    ("host", "url", "written"),
    [
        ("127.0.0.1", "http://127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("0.0.0.0", "http://0.0.0.0:9000", "http://127.0.0.1:9000"),  # noqa: S104  # not bound
        ("::", "http://[::]:9000", "http://[::1]:9000"),
        ("10.1.2.3", "http://10.1.2.3:8000", None),
    ],
)
def test_the_address_file_exists_while_the_service_runs(
    host: str, url: str, written: str | None, tmp_path: Path
) -> None:
    settings = Settings(data_dir=tmp_path, api={"host": host})  # type: ignore[arg-type]
    key = _prepare_database(settings)
    named = {"SECATEUR_DATA_DIR": str(tmp_path)}
    with _address_file(settings, url):
        found = find_local(named, tmp_path)
        assert (found.url if found else None) == written
        assert found is None or found.api_key == key
    assert not (tmp_path / "url").exists()
