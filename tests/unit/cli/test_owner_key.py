"""The key that ``secateur serve`` prints: made once, kept in a file, and good."""

from pathlib import Path

from app.cli.serve import _prepare_database
from app.contracts.database import create_database, create_sessions
from app.contracts.settings import Settings
from app.keys.service import authenticate, list_keys, revoke_key


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
    assert authenticate(sessions, second)[0].scopes == ["admin"]
    assert file.stat().st_mode & 0o777 == 0o600
    engine.dispose()
