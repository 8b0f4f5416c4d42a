"""Which files of a repository on the Hub are fetched, and model cards."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from huggingface_hub.utils import validate_repo_id

from app.contracts.ids import new_id
from secateur import SecateurError
from secateur.hugging_face import _data_in, _explained, _model_in, parse
from secateur.model_card import write_card
from secateur.parquet_shards import join_shards
from secateur.types import JobResult
from tests.fixtures.shown import HOSTILE, summary

REPORT = json.loads((Path(__file__).parents[3] / "docs" / "sample-report.json").read_text())
LICENCES = (
    "license: apache-2.0",
    "license:\n- mit\n- cc-by-4.0",
    "license: other\nlicense_name: x\nlicense_link: LICENSE",
)


def result() -> JobResult:
    ids = {"model": new_id("mdl"), "version": "2", "infer_url": "/infer"}
    return JobResult.model_validate({**ids, "summary": summary(), "artifacts": []})


@pytest.mark.parametrize(
    "uri", ["hf:ada/net", "hf:ada/net@main/onnx/model.onnx", "hf:datasets/ada/cats@v1/data"]
)
def test_a_uri_is_read_and_written(uri: str) -> None:
    assert str(parse(uri)) == uri


@pytest.mark.parametrize("uri", ["hf:net", "hf:ada/../net", "hf:ada/net/../../x", "hf:a/b@", "hf:"])
def test_what_is_no_uri_is_refused(uri: str) -> None:
    with pytest.raises(SecateurError, match="is not hf:OWNER/NAME"):
        parse(uri)


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        (["net.pt2", "model.onnx"], ["net.pt2"]),
        (["onnx/model.onnx", "onnx/model_fp16.onnx"], ["onnx/model.onnx"]),
        (["model.onnx", "model.onnx_data", "other.data"], ["model.onnx", "model.onnx_data"]),
        (["a.pt2", "b.pt2"], "several networks: name one, hf:ada/net/a.pt2, hf:ada/net/b.pt2"),
        (["model.bin", "config.json"], "no .pt2 or .onnx file"),
    ],
)
def test_the_file_of_a_model_is_chosen_or_the_choice_is_shown(
    names: list[str], chosen: list[str] | str
) -> None:
    place = parse("hf:ada/net")
    if isinstance(chosen, list):
        assert _model_in(place, names) == chosen
    else:
        with pytest.raises(SecateurError, match=chosen):
            _model_in(place, names)


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        (["README.md", "cats.zip"], ["cats.zip"]),
        (["d/test-0.parquet", "d/train-0.parquet"], ["d/test-0.parquet", "d/train-0.parquet"]),
        (["README.md", "cats/1.png", "dogs/2.JPG"], ["cats/1.png", "dogs/2.JPG"]),
        (["a/t.parquet", "b/t.parquet"], "name one, hf:datasets/ada/x/a, hf:datasets/ada/x/b"),
        (["README.md", "x.csv"], "no file of samples"),
    ],
)
def test_the_files_of_a_data_set_are_chosen_or_the_choice_is_shown(
    names: list[str], chosen: list[str] | str
) -> None:
    place = parse("hf:datasets/ada/x")
    if isinstance(chosen, list):
        assert _data_in(place, names) == chosen
    else:
        with pytest.raises(SecateurError, match=chosen):
            _data_in(place, names)


def test_shards_become_one_file_with_splits(tmp_path: Path) -> None:
    metadata = {"huggingface": "names of classes"}
    for name, label in (("train-00000-of-00002", 1), ("train-00001-of-00002", 2), ("test", 3)):
        table = pa.table({"label": [label]}).replace_schema_metadata(metadata)
        pq.write_table(table, tmp_path / f"{name}.parquet")
    found = pq.read_table(join_shards(sorted(tmp_path.iterdir()), tmp_path / "joined.parquet"))
    assert dict(zip(found["label"].to_pylist(), found["split"].to_pylist(), strict=True)) == {
        3: "test", 1: "train", 2: "train",
    }  # fmt: skip
    assert found.schema.metadata[b"huggingface"] == b"names of classes"
    other = tmp_path / "other.parquet"
    pq.write_table(pa.table({"picture": [1]}), other)
    with pytest.raises(SecateurError, match=r"other\.parquet has other columns than test"):
        join_shards([tmp_path / "test.parquet", other], tmp_path / "again.parquet")


@pytest.mark.parametrize("licence", LICENCES)
def test_a_new_card_takes_the_licence_of_what_was_pruned(licence: str) -> None:
    base = f"---\ntags:\n- x\n{licence}\nlanguage: en\n---\nlicense: of the text\n"
    card = write_card(result(), REPORT, "ada/small", base=("ada/net", base))
    _, front, _ = card.split("---\n", 2)
    assert front.endswith(f"base_model: ada/net\n{licence}\n")
    assert "license" not in write_card(result(), REPORT, "ada/small").split("---\n", 2)[1]


@pytest.mark.parametrize("existing", ["---\nlicense: mit\n---\n# Mine\n", "# No metadata\n"])
def test_a_card_that_is_there_keeps_every_character(existing: str) -> None:
    once = write_card(result(), REPORT, "ada/small", existing=existing)
    assert once.startswith(existing)
    after = f"{once}\nWritten later.\n"
    assert write_card(result(), REPORT, "ada/small", existing=after) == after


def test_a_card_has_the_numbers_of_the_report() -> None:
    card = write_card(result(), REPORT, "ada/small")
    assert "**Ready: 1.9x faster at batch 1, and 0.30 points less accurate.**" in card
    assert "| Multiply-accumulates | 31,021,952 | 15,429,440 |" in card
    assert "| Accuracy | 92.60 % (" in card
    assert "* Speed at batch size 8, on the worker: no measurable difference" in card
    assert "* Data: fashion-mnist, 70,000 samples" in card
    assert "x = np.zeros((1, 1, 28, 28), np.float32)" in card


def test_names_in_a_card_are_no_markup() -> None:
    names: dict[str, Any] = {"model": {"name": f"{HOSTILE} | `x` ]("}, "data": {"name": "a\n# b"}}
    card = write_card(result(), {**REPORT, **names}, "ada/small")
    assert HOSTILE not in card
    assert "\n# b" not in card
    assert r"\| \`x\` \](" in card


def test_a_name_that_the_hub_never_saw_is_not_said_to_be_refused_by_it() -> None:
    words = r"^\.\./x is no name of a repository"
    with pytest.raises(SecateurError, match=words) as raised, _explained("../x"):
        validate_repo_id("../x")
    assert "HF_TOKEN" not in str(raised.value)
