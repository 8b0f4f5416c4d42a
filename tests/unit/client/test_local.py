"""Which service and key the client uses, and that a key goes nowhere else."""

from pathlib import Path

import pytest

from app.contracts.settings import load_settings
from secateur.core.connection import Connection
from secateur.errors import ConfigurationError
from secateur.local import find_target

URL, KEY = "http://127.0.0.1:8123", "sec_local_secret"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder in which `secateur serve` runs."""
    data_dir = tmp_path / ".secateur"
    data_dir.mkdir()
    for name, text in (("url", URL), ("api-key", KEY)):
        (data_dir / name).touch(mode=0o600)
        (data_dir / name).write_text(text + "\n")
    return tmp_path


def test_the_service_of_this_folder_or_one_above_is_found(folder: Path) -> None:
    below = folder / "a" / "b"
    below.mkdir(parents=True)
    for place in (folder, below):
        found = find_target(None, None, {}, place)
        assert (found.url, found.api_key) == (URL, KEY)
        assert "secateur serve" in found.url_source
    named = {"SECATEUR_DATA_DIR": str(folder / ".secateur")}
    assert find_target(None, None, named, Path("/")).url == URL


def test_arguments_override_the_environment_which_overrides_the_folder(
    folder: Path,
) -> None:
    names = {"SECATEUR_URL": "http://named", "SECATEUR_KEY": "sec_named"}
    found = find_target("http://passed/", "sec_passed", names, folder)
    assert (found.url, found.api_key) == ("http://passed", "sec_passed")
    found = find_target(None, None, names, folder)
    assert (found.url, found.key_source) == ("http://named", "SECATEUR_KEY")


def test_the_local_key_goes_to_the_local_service_alone(folder: Path) -> None:
    assert find_target("http://elsewhere", None, {}, folder).api_key is None
    assert find_target(None, None, {"SECATEUR_URL": "http://elsewhere"}, folder).api_key is None
    assert find_target(URL + "/", None, {}, folder).api_key == KEY


def test_the_default_applies_without_arguments(tmp_path: Path) -> None:
    found = find_target(None, None, {}, tmp_path)
    assert (found.url, found.api_key) == ("http://127.0.0.1:8000", None)


def test_a_key_that_others_can_read_is_refused(folder: Path) -> None:
    (folder / ".secateur" / "api-key").chmod(0o640)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        find_target(None, None, {}, folder)


def test_a_folder_that_came_from_elsewhere_sends_nothing_away(folder: Path) -> None:
    (folder / ".secateur" / "url").write_text("http://evil.example:8000")
    with pytest.raises(ConfigurationError, match="names another machine"):
        find_target(None, None, {}, folder)


@pytest.mark.parametrize("url", ["ftp://x", "8000", "http://", "http://u:p@x", "http://x?a"])
def test_an_invalid_url_is_refused(url: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError):
        find_target(url, None, {}, tmp_path)


@pytest.mark.parametrize("key", ["a b", "a\nb", "schlüssel", "a\x00"])
def test_an_invalid_key_is_refused_and_not_shown(key: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        find_target(None, key, {}, tmp_path)
    assert key not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "is_trusting"),
    [("http://127.0.0.1:1", False), ("http://[::1]:1", False), ("https://example.org", True)],
)
def test_a_proxy_of_the_environment_is_no_way_to_this_machine(url: str, is_trusting: bool) -> None:
    assert Connection(url, None, 1, verify=True).options()["trust_env"] is is_trusting


def test_the_clients_names_do_not_stop_the_service() -> None:
    load_settings({"SECATEUR_URL": URL, "SECATEUR_KEY": KEY})
    with pytest.raises(ValueError, match="SECATEUR_URLS is not a setting"):
        load_settings({"SECATEUR_URLS": URL})
