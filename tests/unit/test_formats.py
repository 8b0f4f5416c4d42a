"""Formats are kept in one list of records, and all other lists match it."""

from pathlib import Path
from typing import get_args

import pytest

from app.datasets.schemas import Dataset
from app.models.schemas import Model
from docs.generate_file_kinds import TARGET, render
from secateur.core.file_kinds import FILE_KINDS, FILE_SUFFIXES, TAKEN
from secateur.core.formats import (
    DATASET_FORMATS,
    FORMATS,
    MODEL_FORMATS,
    DatasetFormatName,
    ModelFormatName,
    Use,
    suffixes,
)
from worker.pipeline.data.opening import DATASET_READERS
from worker.pipeline.job.model_files import MODEL_READERS

PAGES = (Path(__file__).parents[2] / "app/web/static/pages").glob("*.js")


def test_records_readers_and_types_have_the_same_names() -> None:
    assert get_args(ModelFormatName) == tuple(MODEL_FORMATS) == tuple(MODEL_READERS)
    assert get_args(DatasetFormatName) == tuple(DATASET_FORMATS) == tuple(DATASET_READERS)
    for formats in (MODEL_FORMATS, DATASET_FORMATS):
        assert [each.name for each in formats.values()] == list(formats)


def test_the_api_shows_these_names() -> None:
    shown = Model.model_json_schema()["properties"]["format"]["enum"]
    assert shown == list(MODEL_FORMATS)
    assert Dataset.model_json_schema()["properties"]["format"]["enum"] == list(DATASET_FORMATS)


@pytest.mark.parametrize("use", ["model", "dataset"])
def test_every_format_is_known_by_its_bytes_and_its_suffix(use: Use) -> None:
    assert {kind.name for kind in FILE_KINDS if kind.use == use} == {f.name for f in FORMATS[use]}
    assert set(suffixes(use)) <= set(FILE_SUFFIXES)
    for each in FORMATS[use]:
        assert each.suffixes[0] in each.taken
        assert each.taken in TAKEN[use]


def test_suffixes_belong_to_one_format() -> None:
    found = [*suffixes("model"), *suffixes("dataset")]
    assert len(set(found)) == len(found)


def test_the_dashboard_keeps_no_list_of_its_own() -> None:
    assert TARGET.read_text() == render(), "run: python -m docs.generate_file_kinds"
    for page in PAGES:
        assert ".safetensors" not in page.read_text()
        assert ".parquet" not in page.read_text()
