"""`Pruned`: the result of `secateur.prune`, with the network, the plan and the certificate."""

import copy
import warnings
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from secateur.errors import SecateurError
from secateur.options import AnyPath

if TYPE_CHECKING:
    from torch import nn

    from secateur.engine import Certificate, Plan, Program


@dataclass(frozen=True)
class Cost:
    """The size of a network.

    Attributes:
        num_parameters: Trained values, without running statistics.
        macs: Multiply-accumulates of one sample.
    """

    num_parameters: int
    macs: int


@dataclass(frozen=True, repr=False)
class Pruned:
    """A pruned network, the plan behind it, and its certificate.

    The network is not retrained: train `module`, or ``retrain`` the program, before you use it,
    unless it was repaired and is good enough.

    Attributes:
        program: The pruned network as graph and tensors.
        plan: The channel groups that stay, with every number behind the choice. It prints well.
        certificate: The difference between the network and its masked twin: the original with
            zeros in place of the removed channels. It prints well.
        dense: The size of the original network.
        cost: The size of the pruned network.
        name: The name of the module's class or of the file.
        original: The module that was passed, unchanged; None for a file or a program.
        repair: How the network was repaired: ``"reconstruct"`` from samples, ``"fold"`` without
            samples, or ``"none"``.
        num_repair_samples: The samples that the weights were refitted from; 0 for other repairs.
    """

    program: "Program"
    plan: "Plan"
    certificate: "Certificate"
    dense: Cost
    cost: Cost
    name: str
    original: "nn.Module | None" = None
    num_repair_samples: int = 0
    repair: str = "none"

    @cached_property
    def module(self) -> "nn.Module":
        """The pruned network as a module, in evaluation mode, on the original's device.

        It is a copy of the original module with the pruned widths and weights. For a file or a
        program it is a module that runs the graph, with the same names in ``state_dict()``; so it
        is if ``forward`` contains sizes as numbers (``x.view(n, 64)``), with a warning.
        """
        from secateur.engine import ProgramModule  # noqa: PLC0415  # imports torch
        from secateur.engine.export.weights import describe_weights  # noqa: PLC0415
        from secateur.engine.program.precision import own_tensors  # noqa: PLC0415
        from secateur.fitting import Weights, fit  # noqa: PLC0415

        if self.original is None:
            return ProgramModule(self.program).eval()
        about = describe_weights(self.program)
        tensors = {name: tensor.clone() for name, tensor in own_tensors(self.program).items()}
        fitted = copy.deepcopy(self.original)
        try:
            fit(
                fitted,
                Weights(
                    tensors, frozenset(about["constants"]), about["probe"], about["norm_groups"]
                ),
            )
        except SecateurError as error:
            warnings.warn(f"{error}; `module` runs the graph instead", stacklevel=2)
            device = next(iter(self.original.parameters())).device
            return ProgramModule(self.program).to(device).eval()
        return fitted

    def save(self, path: AnyPath) -> Path:
        """Write the network or its plan to a file and return the path.

        Args:
            path: The file to write. Its suffix is the format: ``.pt2`` (for `torch.export.load` and
                the service), ``.onnx``, ``.safetensors`` (for `secateur.torch.load_pruned`) or
                ``.json`` (the plan, for ``secateur-engine apply``).

        Raises:
            SecateurError: The path has another suffix.
            EngineError: The network cannot be written in this format.
        """
        from secateur.engine import export_onnx, write_program  # noqa: PLC0415  # imports torch
        from secateur.engine.export.weights import write_weights  # noqa: PLC0415

        path = Path(path)
        match path.suffix:
            case ".pt2":
                write_program(self.program, path)
            case ".onnx":
                export_onnx(self.program, path)
            case ".safetensors":
                write_weights(self.program, path)
            case ".json":
                path.write_text(self.plan.to_json())
            case suffix:
                raise SecateurError(
                    f"cannot save as {suffix or path.name!r}: the suffix is .pt2, .onnx, "
                    ".safetensors, or .json for the plan"
                )
        return path

    def summary(self) -> str:
        """Return the sizes before and after, the plan and the certificate in a few lines."""
        before, after = self.dense, self.cost
        return "\n".join(
            (
                f"{self.name}, pruned{self._repaired()}; not yet retrained",
                _change("MACs", before.macs, after.macs),
                _change("parameters", before.num_parameters, after.num_parameters),
                str(self.plan).partition("\n")[0],
                str(self.certificate),
            )
        )

    __str__ = summary

    def _repaired(self) -> str:
        match self.repair:
            case "reconstruct":
                return f" and repaired from {self.num_repair_samples:,} samples"
            case "fold":
                return " and folded without samples"
            case _:
                return ", not repaired"

    def __repr__(self) -> str:
        macs = f"{self.cost.macs / max(1, self.dense.macs):.1%} of the MACs"
        parameters = f"{self.cost.num_parameters / max(1, self.dense.num_parameters):.1%}"
        return f"Pruned({self.name}, {macs}, {parameters} of the parameters)"


def _change(name: str, before: int, after: int) -> str:
    return f"{name}: {before:,} → {after:,} ({after / max(1, before):.1%} left)"
