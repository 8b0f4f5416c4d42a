"""Scores are cached bit for bit under a key of all their inputs, within a size limit."""

import os
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from app.contracts.spec import ArchitectureSpec, PreprocessSpec
from tests.fixtures.jobs import dataset_input, model_input, request_for
from worker.messages import JobRequest
from worker.pipeline.scoring.cache import recall_scores, remember_scores, saliency_key

CONFIG: dict[str, Any] = {"criterion": {"kind": "taylor"}, "seed": 3}


def scores(seed: int = 0, size: int = 16) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    both = torch.randn(2, size, generator=generator)
    odd = torch.tensor([float("nan"), float("inf"), -0.0, 5e-324], dtype=torch.float64)
    return {"conv1.weight": both[0], "conv2/weight": both[1], "columns": both.T[:, 0], "odd": odd}


def test_scores_come_back_bit_for_bit(tmp_path: Path) -> None:
    folder = tmp_path / "made" / "when needed"
    assert recall_scores(folder, "k") is None
    remember_scores(folder, "k", scores())
    found = recall_scores(folder, "k")
    assert found is not None
    assert found.keys() == scores().keys()
    for name, tensor in scores().items():
        assert found[name].dtype == tensor.dtype
        assert found[name].numpy().tobytes() == tensor.contiguous().numpy().tobytes()
    assert [path.name for path in folder.iterdir()] == ["k.saliency.safetensors"]


@pytest.mark.parametrize("damage", ["emptied", "cut short", "halved", "overwritten", "longer"])
def test_a_damaged_file_counts_as_missing_and_is_replaced(damage: str, tmp_path: Path) -> None:
    remember_scores(tmp_path, "k", scores())
    [path] = tmp_path.iterdir()
    data = path.read_bytes()
    path.write_bytes({
        "emptied": b"", "cut short": data[:-1], "halved": data[: len(data) // 2],
        "overwritten": b"x" * len(data), "longer": data + b"more",
    }[damage])  # fmt: skip
    assert recall_scores(tmp_path, "k") is None
    remember_scores(tmp_path, "k", scores())
    assert recall_scores(tmp_path, "k") is not None


def test_the_least_recently_used_scores_are_evicted(tmp_path: Path) -> None:
    for number, key in enumerate("abc"):
        remember_scores(tmp_path, key, scores(number))
        os.utime(tmp_path / f"{key}.saliency.safetensors", (number, number))
    size = (tmp_path / "a.saliency.safetensors").stat().st_size
    assert recall_scores(tmp_path, "a") is not None  # now b is the oldest
    remember_scores(tmp_path, "d", scores(3), max_bytes=3 * size)
    assert {path.name[0] for path in tmp_path.iterdir()} == {"a", "c", "d"}


def test_partial_files_of_killed_jobs_count_and_are_removed(tmp_path: Path) -> None:
    left = tmp_path / "k.123.partial"
    left.write_bytes(bytes(100_000))
    os.utime(left, (0, 0))
    (tmp_path / "somebody.else").write_bytes(bytes(100_000))
    remember_scores(tmp_path, "k", scores(), max_bytes=50_000)
    assert {path.name for path in tmp_path.iterdir()} == {"k.saliency.safetensors", "somebody.else"}


def test_a_job_goes_on_where_nothing_can_be_written(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_bytes(b"")
    remember_scores(blocked, "k", scores())
    assert recall_scores(blocked, "k") is None


def request(folder: Path, config: dict[str, Any] | None = None, **more: Any) -> JobRequest:
    found = request_for(folder / "m.pt2", folder, {**CONFIG, **(config or {})})
    return found.model_copy(update={"dataset": dataset_input(folder / "d.npz"), **more})


@pytest.mark.parametrize("config", [
    {"criterion": {"kind": "l1"}}, {"criterion": {"kind": "taylor", "num_samples": 8}},
    {"criterion": {"kind": "taylor", "reduction": "max"}}, {"seed": 4},
    {"criterion": {"kind": "taylor", "normalization": "none"}}, {"split": {"seed": 1}},
])  # fmt: skip
def test_the_key_changes_with_what_the_config_says_about_scores(
    config: dict[str, Any], tmp_path: Path
) -> None:
    assert saliency_key(request(tmp_path, config)) != saliency_key(request(tmp_path))


@pytest.mark.parametrize("config", [
    {"selection": {"mode": "budget", "macs": 0.5}}, {"retrain": {"epochs": 5}},
    {"schedule": {"kind": "one_shot"}}, {"baselines": True}, {"export": {"formats": ["onnx"]}},
    {"criterion": {"kind": "taylor", "compare": True}},
])  # fmt: skip
def test_the_key_stays_with_everything_else(config: dict[str, Any], tmp_path: Path) -> None:
    assert saliency_key(request(tmp_path, config)) == saliency_key(request(tmp_path))


def test_the_key_changes_with_model_data_and_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, data = tmp_path / "m.pt2", tmp_path / "d.npz"
    found = {
        saliency_key(request(tmp_path, None, **more))
        for more in (
            {}, {"model": model_input(model, sha256="1")}, {"dataset": None}, {"num_threads": 7},
            {"device": "cuda"},
            {"dataset": dataset_input(data, sha256="e")},
            {"dataset": dataset_input(data, preprocess=PreprocessSpec(mean=(0.5,)))},
            {"model": model_input(model, architecture=ArchitectureSpec(name="timm/a"))},
        )
    }  # fmt: skip
    monkeypatch.setattr(torch, "__version__", "0")
    assert len(found | {saliency_key(request(tmp_path))}) == 9


def test_the_key_stays_with_the_attempt_and_the_job(tmp_path: Path) -> None:
    data = dataset_input(tmp_path / "d.npz", id="ds_other")
    other = request(tmp_path, None, job_id="job_other", attempt=2, dataset=data)
    assert saliency_key(other) == saliency_key(request(tmp_path))
