"""A job's export formats always include one that holds the whole network."""

import pytest
from pydantic import ValidationError

from app.contracts.errors import InvalidInputError
from app.contracts.spec import ExportSpec
from app.jobs.schemas import JobCreate
from app.jobs.service import resolve


def test_a_job_of_the_service_makes_the_file_that_is_served() -> None:
    body = JobCreate.model_validate({"model": "mdl_1", "config": {"export": {"formats": ["pt2"]}}})
    with pytest.raises(InvalidInputError, match="must contain 'onnx'"):
        resolve(body)


def test_some_file_holds_the_whole_network() -> None:
    with pytest.raises(ValidationError, match="'pt2' or 'onnx'"):
        ExportSpec.model_validate({"formats": ["safetensors"]})
