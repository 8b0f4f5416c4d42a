"""Int8 files are refused when a job is posted, where none can be made."""

from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import ValidationError

from app.contracts.errors import InvalidInputError
from app.contracts.settings import Settings
from app.contracts.spec import PruneConfig
from app.jobs.schemas import JobCreate
from app.jobs.service import _refuse_int8, resolve

INT8 = {"precision": {"kind": "int8"}}


def test_int8_needs_samples_to_calibrate_with() -> None:
    body = JobCreate.model_validate({"model": "mdl_1", "config": INT8})
    with pytest.raises(InvalidInputError, match=r"'int8' needs a data set") as caught:
        resolve(body)
    assert caught.value.details[0].pointer == "/config/precision/kind"


def test_int8_needs_the_onnx_file() -> None:
    with pytest.raises(ValidationError, match=r"export.formats must contain 'onnx'"):
        PruneConfig.model_validate({**INT8, "export": {"formats": ["pt2"]}})


@pytest.mark.parametrize(
    ("provider", "precision", "is_refused"),
    [
        ("cpu", {"kind": "int8"}, False),
        ("cuda", {"kind": "int8"}, True),
        ("tensorrt", {"kind": "int8"}, True),
        ("cuda", {"kind": "int8", "target": "vnni"}, False),
        ("cuda", {"kind": "fp32"}, False),
    ],
)
def test_a_service_that_computes_on_a_gpu_asks_for_the_processor(
    provider: str, precision: dict[str, Any], is_refused: bool
) -> None:
    settings = Settings.model_validate({"inference": {"provider": provider}})
    context: Any = SimpleNamespace(settings=settings)
    config = PruneConfig.model_validate({"precision": precision})
    if not is_refused:
        _refuse_int8(context, config)
        return
    with pytest.raises(InvalidInputError, match=f"computes with {provider}") as caught:
        _refuse_int8(context, config)
    assert caught.value.details[0].pointer == "/config/precision/target"
