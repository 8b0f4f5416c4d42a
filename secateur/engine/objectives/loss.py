"""The loss of one network, as the training loop calls it."""

from collections.abc import Sequence

from torch import Tensor

from secateur.engine.errors import DataError
from secateur.engine.objectives.objective import Answers
from secateur.engine.objectives.objectives import OBJECTIVES
from secateur.engine.objectives.options import ObjectiveOptions
from secateur.engine.objectives.outputs import activation, float_outputs
from secateur.engine.program.program import Program


class Loss:
    """The loss of one network's outputs under given options."""

    def __init__(
        self, program: Program, options: ObjectiveOptions, scales: Sequence[float]
    ) -> None:
        """Prepare the loss of ``program``.

        Args:
            program: The network whose outputs are judged.
            options: The training objective.
            scales: Variance of each float output of the teacher (`teacher.Teacher.scales`); empty
                without a teacher.
        """
        self._options, self._scales = options, tuple(scales)
        self._objective = OBJECTIVES[options.kind]
        self._activation = activation(program)

    def __call__(
        self, outputs: list[object], labels: Tensor | None, taught: list[object] | None = None
    ) -> Tensor:
        """Return the mean loss of a batch, a scalar.

        Args:
            outputs: The network's flat outputs.
            labels: Labels as `samples.SampleSource.batch` returns them.
            taught: The teacher's flat outputs, if the objective needs them.

        Raises:
            DataError: Labels or outputs do not fit the objective.
        """
        found = float_outputs(outputs)
        if not found:
            raise DataError("the network has no output of floating point to train")
        taught_floats = float_outputs(taught or [])
        answers = Answers(found, labels, taught_floats, self._activation, self._scales)
        return self._objective.loss(answers, self._options)
