"""The files of the stages are the stages of a job."""

from pathlib import Path

from app.contracts.job import Stage
from worker.pipeline import stages


def test_each_stage_has_a_file_of_its_name_and_there_is_no_other() -> None:
    files = {path.stem for path in Path(stages.__path__[0]).glob("*.py")} - {"__init__"}
    assert files == {stage.value for stage in Stage}
