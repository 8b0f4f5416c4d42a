from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from app.contracts.settings import GIBIBYTE, PREFIX, SECRETS, Settings, load_settings


def fields() -> Iterator[tuple[str, FieldInfo]]:
    for name, field in Settings.model_fields.items():
        group = field.annotation
        if isinstance(group, type) and issubclass(group, BaseModel):
            yield from ((f"{name}.{inner}", found) for inner, found in group.model_fields.items())
        else:
            yield name, field


@pytest.mark.parametrize(("name", "field"), list(fields()))
def test_every_setting_has_a_description_in_a_sentence(name: str, field: FieldInfo) -> None:
    text = field.description or ""
    assert text[:1].isupper() or text.startswith("file:"), name
    assert text.endswith("."), name


@pytest.mark.parametrize(
    ("group", "values", "named"),
    [
        ("worker", {"lease_seconds": 3, "heartbeat_seconds": 3}, ("lease_seconds is 3", "rtbeat")),
        ("worker", {"lease_seconds": 2}, ("lease_seconds is 2", "heartbeat_seconds, 3")),
        ("worker", {"gpus": ["GPU-1"]}, ("gpus is set", "device is cpu")),
        ("storage", {"access_key_id": "a"}, ("access_key_id", "secret_access_key")),
        ("storage", {"secret_access_key": "a"}, ("access_key_id", "secret_access_key")),
        ("http", {"buffered_bytes": 1000}, ("buffered_bytes is 1000", "limits.infer_bytes, 671")),
        (
            "limits",
            {"json_bytes": 2 * GIBIBYTE},
            ("http.buffered_bytes", "limits.json_bytes, 2147"),
        ),
    ],
)
def test_settings_that_contradict_each_other_are_refused(
    group: str, values: dict[str, object], named: tuple[str, ...]
) -> None:
    with pytest.raises(ValidationError) as caught:
        Settings.model_validate({group: values})
    for part in named:
        assert part in str(caught.value)


def test_settings_at_the_edge_of_a_contradiction_are_accepted() -> None:
    Settings.model_validate(
        {
            "worker": {
                "lease_seconds": 3.1,
                "heartbeat_seconds": 3,
                "device": "cuda",
                "gpus": ["GPU-1"],
            },
            "storage": {"access_key_id": "a", "secret_access_key": "b"},
            "http": {"buffered_bytes": 64 * 1024**2},
        }
    )


def test_the_environment_is_checked_for_contradictions(monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"{PREFIX}WORKER__LEASE_SECONDS"
    monkeypatch.setenv(name, "1")
    with pytest.raises(ValidationError, match="must exceed heartbeat_seconds"):
        load_settings()


@pytest.mark.parametrize(
    ("text", "num_bytes"),
    [
        ("2 GiB", 2 * 1024**3),
        ("2GiB", 2 * 1024**3),
        ("1.5 mib", 1024**2 * 3 // 2),
        ("500 MB", 500_000_000),
        ("4096", 4096),
        (8192, 8192),
        ("17 b", 17),
    ],
)
def test_a_size_is_a_number_of_bytes_or_has_a_unit(text: object, num_bytes: int) -> None:
    found = Settings.model_validate({"worker": {"memory_bytes": text}})
    assert found.worker.memory_bytes == num_bytes


@pytest.mark.parametrize("text", ["2 gigs", "GiB", "-1 MiB", "0 KiB", "", "1 2 GiB", "1e400 GiB"])
def test_an_invalid_size_is_refused(text: str) -> None:
    with pytest.raises(ValidationError, match="memory_bytes"):
        Settings.model_validate({"worker": {"memory_bytes": text}})


def variable(group: str, name: str) -> str:
    return f"{PREFIX}{group}__{name}".upper()


def test_every_secret_can_lie_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert {("database", "url"), ("queue", "url"), ("storage", "secret_access_key")} < set(SECRETS)
    for group, name in SECRETS:
        path = tmp_path / f"{group}-{name}"
        path.write_text(f"secret {group} {name}\n")
        monkeypatch.setenv(f"{variable(group, name)}_FILE", str(path))
    settings = load_settings()
    for group, name in SECRETS:
        value = getattr(getattr(settings, group), name).get_secret_value()
        assert value == f"secret {group} {name}"
    assert "secret database url" not in repr(settings)


@pytest.mark.parametrize(
    ("content", "also_set", "reason"),
    [
        (None, False, "cannot be read: No such file"),
        (b" \n", False, "which is empty"),
        (b"\xff\xfe", False, "it is no text"),
        (b"secret", True, "are both set"),
    ],
)
def test_a_secret_that_cannot_be_read_from_its_file_is_named(
    content: bytes | None,
    also_set: bool,
    reason: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = tmp_path / "secret"
    if content is not None:
        path.write_bytes(content)
    monkeypatch.setenv("SECATEUR_DATABASE__URL_FILE", str(path))
    if also_set:
        monkeypatch.setenv("SECATEUR_DATABASE__URL", "sqlite://")
    with pytest.raises(ValueError, match="SECATEUR_DATABASE__URL_FILE") as caught:
        load_settings()
    assert reason in str(caught.value)


@pytest.mark.parametrize("name", ["API__PORT_FILE", "STORAGE__REGION_FILE", "DATABASE__URL_FILES"])
def test_only_secrets_are_read_from_files(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"{PREFIX}{name}", "/etc/hostname")
    with pytest.raises(ValueError, match=f"{name} is not a setting"):
        load_settings()
