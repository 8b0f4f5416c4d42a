"""Notes about a data set are printed at the upload and in listings."""

from pathlib import Path
from typing import Any, cast

import pytest

from app.cli.inputs import NOT_GIVEN, push_dataset
from app.cli.output import dataset_table, summary_table
from app.contracts.spec import NO_PREPROCESS, NO_PREPROCESS_BUT_RIGHT
from app.terminal import LiteralConsole
from secateur import Client, Dataset

NOTES = ["1 file was left out (not an image of a supported format): 'README.md'", "there are few"]


def dataset(notes: list[str] | None) -> Dataset:
    summary = None if notes is None else {"num_samples": 8, "notes": notes}
    return Dataset.model_validate(
        {
            "id": "ds_1", "name": "pets", "status": "ready", "format": "zip", "filename": None,
            "sha256": "", "num_bytes": 9, "preprocess": {}, "summary": summary, "error": None,
            "metadata": {}, "created_at": None, "warnings": notes or [],
        }
    )  # fmt: skip


class Service:
    """Fake service that accepts every data set with the same notes."""

    def push_dataset(self, path: Path, **options: Any) -> Dataset:
        del path, options
        return dataset(NOTES)


def test_notes_are_printed_after_an_upload(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "pets.zip").write_bytes(b"PK")
    push_dataset(cast("Client", Service()), tmp_path / "pets.zip", None, None)
    printed = capsys.readouterr()
    assert not printed.out
    assert all(f"note: {note}\n" in printed.err for note in NOTES)


def test_the_list_counts_the_notes(capsys: pytest.CaptureFixture[str]) -> None:
    LiteralConsole(width=200).print(dataset_table([dataset(NOTES), dataset([]), dataset(None)]))
    shown = capsys.readouterr().out.splitlines()
    assert "notes" in shown[1]
    assert " 2 " in shown[3]
    assert " 2 " not in shown[4]


def test_the_summary_of_a_data_set_is_shown_as_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    summary = {
        "num_samples": 1640, "sample_shape": [3, 8, 8], "dtype": "uint8", "labels": "classes",
        "class_names": ["[b]cat"], "class_counts": [1000, 640],
        "splits": {"train": 1600, "validation": 40, "test": 0},
        "left_out": [{"what": "file", "reason": "hidden", "count": 2, "names": [".a", ".b"]}],
    }  # fmt: skip
    LiteralConsole(width=200).print(summary_table(summary))
    shown = capsys.readouterr().out
    for words in ("1,600 train, 40 validation", "3 x 8 x 8, uint8", "[b]cat: 1,000", "1: 640"):
        assert words in shown
    assert "2 x file: hidden" in shown
    assert "test" not in shown


def test_the_note_about_missing_preprocessing_is_recognised() -> None:
    # The command may not import the spec, so it has the words of its own.
    assert all(NOT_GIVEN in note for note in (NO_PREPROCESS, NO_PREPROCESS_BUT_RIGHT))
