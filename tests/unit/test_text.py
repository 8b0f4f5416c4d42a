"""Names and tags from users: they are shown, so something of them must be seen, in its order."""

import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError

from app.datasets.schemas import DatasetCopy, DatasetPatch
from app.fetching.routes import DatasetFetch, ModelFetch
from app.jobs.schemas import JobCreate, JobPatch
from app.keys.schemas import KeyCreate
from app.models.routes import Name
from app.models.schemas import ModelPatch
from app.tags import Tags

PREPROCESS = {"mean": [0.5], "std": [0.5]}
NAMED: dict[type[BaseModel], dict[str, object]] = {
    DatasetCopy: {"preprocess": PREPROCESS},
    DatasetFetch: {"url": "https://a.test/x"},
    DatasetPatch: {},
    JobCreate: {"model": "m"},
    JobPatch: {},
    KeyCreate: {"scopes": ["infer"]},
    ModelFetch: {"url": "https://a.test/x"},
    ModelPatch: {},
}
REFUSED = (" ", "\u00a0\u2003", "\u200b", "\u202egpj.exe", "a\u2066b", "a\nb", "a\x9bb")
ACCEPTED = ("net 1", "<b>", "сеть", "رَشبَكَة", "ネット", "🙂", "é")


@pytest.mark.parametrize("schema", NAMED, ids=lambda each: each.__name__)
def test_every_name_can_be_seen(schema: type[BaseModel]) -> None:
    for name in ACCEPTED:
        assert schema(**NAMED[schema], name=name).model_dump()["name"] == name
    for name in REFUSED:
        with pytest.raises(ValidationError, match="the text "):
            schema(**NAMED[schema], name=name)


def test_every_tag_and_every_name_of_an_upload_can_be_seen() -> None:
    for text in ACCEPTED:
        assert TypeAdapter(Tags).validate_python([text]) == (text,)
        assert TypeAdapter(Name).validate_python(text) == text
    for text in REFUSED:
        with pytest.raises(ValidationError, match="the text "):
            TypeAdapter(Tags).validate_python([text])
        with pytest.raises(ValidationError, match="the text "):
            TypeAdapter(Name).validate_python(text)
