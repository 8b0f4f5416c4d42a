"""Picture of the states and stages of a job, with the legal moves read from the code."""

from app.contracts.job import MOVES, JobState, Stage
from app.drawing.canvas import Canvas

_WIDTH, _HEIGHT = 104, 34
_PLACES = {
    JobState.VALIDATING: (74, 96),
    JobState.QUEUED: (250, 96),
    JobState.RUNNING: (440, 96),
    JobState.SUCCEEDED: (700, 60),
    JobState.FAILED: (700, 132),
    JobState.EXPIRED: (74, 226),
    JobState.PAUSED: (250, 226),
    JobState.PAUSING: (440, 226),
    JobState.CANCELLING: (570, 226),
    JobState.CANCELLED: (700, 226),
}
# The moves shown as arrows. The others, which end a job or are possible at any time, are text.
_DRAWN = (
    (JobState.VALIDATING, JobState.QUEUED, "model and data are valid"),
    (JobState.QUEUED, JobState.RUNNING, "a worker is free"),
    (JobState.RUNNING, JobState.SUCCEEDED, ""),
    (JobState.RUNNING, JobState.FAILED, ""),
    (JobState.RUNNING, JobState.PAUSING, ""),
    (JobState.RUNNING, JobState.CANCELLING, ""),
    (JobState.PAUSING, JobState.PAUSED, ""),
    (JobState.PAUSED, JobState.QUEUED, "resume"),
    (JobState.CANCELLING, JobState.CANCELLED, ""),
    (JobState.QUEUED, JobState.EXPIRED, "not started in time"),
)


def draw() -> Canvas:
    """Return the picture."""
    canvas = Canvas(
        "life-of-a-job",
        800,
        372,
        "A job is validating, queued, running, then succeeded, failed or cancelled; it may be "
        "paused and resumed. A running job has eight stages, from intake to package.",
    )
    for start, end, words in _DRAWN:
        if end not in MOVES[start]:
            raise ValueError(f"a job cannot move from {start} to {end}")
        _move(canvas, start, end, words)
    canvas.arrow([(400, 79), (400, 44), (290, 44), (290, 79)])
    canvas.text(345, 36, "worker lost or stopped: retry", "muted", 11)
    for state in JobState:
        _state(canvas, state)
    _stages(canvas)
    return canvas


def _state(canvas: Canvas, state: JobState) -> None:
    x, y = _PLACES[state]
    look = {"succeeded": "kept", "failed": "gone"}.get(state, "paper-muted")
    canvas.box(x - _WIDTH / 2, y - _HEIGHT / 2, _WIDTH, _HEIGHT, look, 8)
    colour = "paper" if look in {"kept", "gone"} else "ink"
    canvas.text(x, y + 4.5, str(state), colour, weight="bold" if state.is_final else "normal")


def _move(canvas: Canvas, start: JobState, end: JobState, words: str) -> None:
    (x1, y1), (x2, y2) = _PLACES[start], _PLACES[end]
    half_width, half_height = _WIDTH / 2, _HEIGHT / 2
    if x1 == x2:
        sign = 1 if y2 > y1 else -1
        canvas.arrow([(x1, y1 + sign * half_height), (x2, y2 - sign * half_height)])
        canvas.text(x1 + 8, (y1 + y2) / 2 + 4, words, "muted", 11, "start")
    elif y1 == y2:
        sign = 1 if x2 > x1 else -1
        canvas.arrow([(x1 + sign * half_width, y1), (x2 - sign * half_width, y2)])
        canvas.text((x1 + x2) / 2, y1 - 24, words, "muted", 11)
    elif end is JobState.CANCELLING:
        canvas.arrow([(x1 + half_width - 8, y1 + half_height), (x2, y2 - half_height)])
    elif end is JobState.EXPIRED:
        canvas.arrow([(x1 - half_width + 12, y1 + half_height), (x2 + 20, y2 - half_height)])
        canvas.text(x2 - 44, (y1 + y2) / 2, words, "muted", 11, "start")
    else:
        bend = x2 - half_width - 40
        canvas.arrow([(x1 + half_width, y1), (bend, y1), (bend, y2), (x2 - half_width, y2)])


def _stages(canvas: Canvas) -> None:
    canvas.text(400, 288, "Stages of a running job", "muted", 12)
    stages = list(Stage)
    step = 752 / len(stages)
    for number, stage in enumerate(stages):
        left = 24 + number * step
        canvas.box(left, 302, step - 14, 30, "none-accent", 6)
        canvas.text(left + (step - 14) / 2, 321.5, str(stage), size=12.5)
        if number:
            canvas.arrow([(left - 13, 317), (left - 1, 317)], "accent")
    canvas.text(
        400,
        356,
        "saved after every epoch and every minute: a killed job resumes from there",
        "muted",
        12,
    )
