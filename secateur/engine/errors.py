"""The engine's error tree. The pipeline translates it to failure codes in one place.

EngineError
├── ModelRejectedError        the file is not a model we accept (entry and reason named)
│   ├── UnsupportedOpError    a well-formed graph that calls an operator outside the vocabulary
│   └── ModelTooLargeError    a model past a limit (value and limit named)
├── NothingPrunableError      every channel group is frozen or already at its minimum
├── PlanError                 a plan does not fit the program, or a selection cannot be met
├── EquivalenceError          the compacted program is wrong: a defect of ours
├── ExportError               an exported file does not compute what the program computes
├── DataError                 samples or labels do not fit the program or the objective
│   ├── DataTooLargeError     a data set past a limit (value and limit named)
│   └── DataMismatchError     the network was trained on other kinds of samples
└── DivergenceError           the loss became NaN or infinite while training
"""


class EngineError(Exception):
    """Base class of the engine's deliberate errors; messages are safe to show to users.

    Args:
        message: What happened, with the value and the limit.
        hint: What to do, if the cause is known. Without one, the failure code's hint is shown.
    """

    def __init__(self, message: str = "", *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint
        if hint:
            self.add_note(hint)  # a traceback prints it


class ModelRejectedError(EngineError):
    """The uploaded file is refused."""


class UnsupportedOpError(ModelRejectedError):
    """The graph calls an operator that is not in the vocabulary."""


class ModelTooLargeError(ModelRejectedError):
    """The file, or the cost of computing the network, exceeds a limit."""


class NothingPrunableError(EngineError):
    """No channel group of the program can lose a channel."""


class PlanError(EngineError):
    """A plan or a selection does not fit its program."""


class EquivalenceError(EngineError):
    """Compacted program and masked twin disagree beyond the tolerance."""


class ExportError(EngineError):
    """An exported file disagrees with its program."""


class DataError(EngineError):
    """Samples or labels do not fit the program or the objective."""


class DataTooLargeError(DataError):
    """The data set, or the cost of reading it, exceeds a limit."""


class DataMismatchError(DataError):
    """The dense network's outputs show that it was trained on other kinds of samples."""


class DivergenceError(EngineError):
    """Training produced a loss that is not finite."""
