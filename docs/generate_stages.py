"""Write the dashboard's copy of the stages of a job: ``python -m docs.generate_stages``."""

import json
from pathlib import Path

from app.contracts.job import Stage

TARGET = Path(__file__).parents[1] / "app/web/static/job/stage_list.js"
_HEAD = """\
// The stages of a job in their order, and what each does. Written by
// `python -m docs.generate_stages` from `Stage` in app/contracts/job.py: change it there.

"""


def render() -> str:
    """Return the module."""
    does = {stage.value: stage.does for stage in Stage}
    return (
        f"{_HEAD}export const DOES = {json.dumps(does, indent=2)};\n\n"
        "export const STAGES = Object.keys(DOES);\n"
    )


if __name__ == "__main__":
    TARGET.write_text(render())
