"""Every export format writes its file, and files that compute are compared with the program."""

from pathlib import Path

import pytest

from app.contracts.onnx_files import check_onnx
from app.contracts.settings import LimitSettings
from secateur.engine.export.formats import EXPORT_FORMATS, write_files
from secateur.engine.program.reader import read_program
from tests.fixtures.networks import small_program

PROGRAM = small_program()
BATCHES = [PROGRAM.example_inputs(3)]


def test_every_format_writes_its_file_and_what_computes_is_compared(tmp_path: Path) -> None:
    errors = write_files(PROGRAM, tmp_path, EXPORT_FORMATS, BATCHES)
    assert {path.name for path in tmp_path.iterdir()} == {f.file for f in EXPORT_FORMATS.values()}
    assert set(errors) == {name for name, each in EXPORT_FORMATS.items() if each.compare}
    assert all(error == pytest.approx(0, abs=1e-4) for error in errors.values())
    assert read_program(tmp_path / "pruned.pt2").tensors.keys() == PROGRAM.tensors.keys()


def test_the_service_accepts_our_own_onnx_file(tmp_path: Path) -> None:
    write_files(PROGRAM, tmp_path, ("onnx",), BATCHES)
    check_onnx((tmp_path / "model.onnx").read_bytes(), LimitSettings())


def test_only_the_requested_formats_are_written(tmp_path: Path) -> None:
    assert write_files(PROGRAM, tmp_path, ("safetensors",), BATCHES) == {}
    assert [path.name for path in tmp_path.iterdir()] == ["weights.safetensors"]
