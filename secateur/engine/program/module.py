"""Run a program: an `nn.Module` that executes the graph node by node over registered tensors.

Training from an inference-mode export needs no second graph: the ``training`` literals of
``aten.batch_norm`` and ``aten.dropout`` are flipped. The result is bit-exact against the eager
module, including running statistics (docs/architecture). Called by saliency, retraining, export
and checks.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, fx, nn

from secateur.engine.program.chunks import chunked, joined
from secateur.engine.program.placing import placed
from secateur.engine.program.program import Program, Role

# Position of the training flag, for each operator that behaves differently in training.
TRAINING_ARGUMENT: dict[object, int] = {
    torch.ops.aten.batch_norm.default: 5,
    torch.ops.aten.dropout.default: 2,
    torch.ops.aten.feature_dropout.default: 2,
}

_TAKEN = frozenset(dir(nn.Module()))
Step = tuple[fx.Node, Callable[..., Any], tuple[Any, ...], dict[str, Any], tuple[fx.Node, ...]]


class ProgramModule(nn.Module):
    """Executable program whose tensors are the module's parameters and buffers.

    Tensors are registered under their fully qualified names in nested modules, so ``state_dict()``
    has the user's names. A program whose batch stays fixed takes any number of samples, in batches
    of its size; in training mode its BatchNorm keeps its statistics, since batches of one have
    none. With ``copy=False`` the module shares storage with its program.
    `program()` returns a program with the current tensors. ``outputs`` are nodes of the graph to
    return instead of its outputs.
    """

    def __init__(
        self, program: Program, *, copy: bool = True, outputs: tuple[Any, ...] | None = None
    ) -> None:
        super().__init__()
        self._program = program
        self._output: Any = program.graph.output_node().args[0] if outputs is None else outputs
        self.steps = _compile_steps(program.graph, program.device, self._output)
        self._training_argument = dict(TRAINING_ARGUMENT)
        if program.batch_size is not None:
            del self._training_argument[torch.ops.aten.batch_norm.default]
        self._placeholders = [n for n in program.graph.nodes if n.op == "placeholder"]
        for name, tensor in program.tensors.items():
            value = tensor.detach().clone() if copy else tensor.detach()
            self._register(name, value, program.roles[name])

    @property
    def device(self) -> torch.device:
        """Device that the program's tensors were on."""
        return self._program.device

    def forward(self, *inputs: Tensor) -> Any:  # noqa: ANN401  # whatever the user's model returns
        """Return the outputs for ``inputs``, nested as the user's model returns them."""
        size = self._program.batch_size  # len() would make a dynamic batch fixed in an export
        is_one_run = size is None or size == len(inputs[0])
        return self._program.unflatten((self.run_once if is_one_run else self.run)(inputs))

    def run(self, inputs: tuple[Tensor, ...]) -> list[Any]:
        """Return the flat outputs for ``inputs``, of any number of samples."""
        return self.run_and_keep(inputs, ())[0]

    def run_once(self, inputs: tuple[Tensor, ...]) -> list[Any]:
        """Return the flat outputs of one run of the graph, as the user's model returns them."""
        values = self.start(inputs)
        self.run_steps(values, self.steps)
        return self.outputs(values)

    def run_and_keep(
        self, inputs: tuple[Tensor, ...], kept: tuple[fx.Node, ...]
    ) -> tuple[list[Any], list[Any]]:
        """Return the flat outputs and the values of the nodes ``kept``."""
        steps = self.steps
        if kept:
            steps = [
                (node, target, args, kwargs, tuple(gone for gone in dead if gone not in kept))
                for node, target, args, kwargs, dead in steps
            ]
        size, found = self._program.batch_size, []
        for chunk in [inputs] if size is None else chunked(inputs, size):
            values = self.start(chunk)
            self.run_steps(values, steps)
            found.append([*self.outputs(values), *(values[node] for node in kept)])
        flat = found[0] if size is None else joined(found, size, len(inputs[0]))
        return flat[: len(self._output)], flat[len(self._output) :]

    def start(self, inputs: tuple[Tensor, ...]) -> dict[fx.Node, Any]:
        """Return the values that exist before the first step."""
        return dict(zip(self._placeholders, inputs, strict=True))

    def run_steps(self, values: dict[fx.Node, Any], steps: list[Step]) -> None:
        """Execute ``steps``: add their results to ``values``, delete values not read again."""
        training = self.training
        for node, target, args, kwargs, dead in steps:
            if node.op == "get_attr":
                values[node] = self.tensor(str(node.target))
                continue
            actual = [resolve(a, values) for a in args]
            if training and target in self._training_argument:
                actual[self._training_argument[target]] = True
            values[node] = target(*actual, **{k: resolve(v, values) for k, v in kwargs.items()})
            for gone in dead:
                del values[gone]

    def outputs(self, values: dict[fx.Node, Any]) -> list[Any]:
        """Return the flat outputs once every step has run."""
        return [resolve(item, values) for item in self._output]

    def tensor(self, name: str) -> Tensor:
        """Return the registered tensor with the fully qualified ``name``."""
        owner, leaf = self._owner(name)
        value = owner._parameters.get(leaf)  # noqa: SLF001  # getattr searches three dicts per call
        return value if value is not None else owner._buffers[leaf]  # type: ignore[return-value]  # noqa: SLF001

    def program(self) -> Program:
        """Return the program with detached copies of the current tensors."""
        current = {name: self.tensor(name).detach().clone() for name in self._program.tensors}
        return self._program.with_tensors(current)

    def _owner(self, name: str) -> tuple[nn.Module, str]:
        owner: nn.Module = self
        *path, leaf = name.split(".")
        for part in path:
            owner = owner._modules[part]  # type: ignore[assignment]  # noqa: SLF001
        return owner, leaf

    def _register(self, name: str, value: Tensor, role: Role) -> None:
        owner: nn.Module = self
        *path, leaf = name.split(".")
        for part in path:
            if part not in owner._modules:  # noqa: SLF001
                _check_free(owner, part)
                owner._modules[part] = nn.Module()  # noqa: SLF001
            owner = owner._modules[part]  # type: ignore[assignment]  # noqa: SLF001
        _check_free(owner, leaf)
        if role is Role.PARAMETER:
            owner._parameters[leaf] = nn.Parameter(  # noqa: SLF001
                value, requires_grad=value.is_floating_point()
            )
        else:
            owner._buffers[leaf] = value  # noqa: SLF001


def _check_free(owner: nn.Module, name: str) -> None:
    """Refuse a tensor name that an `nn.Module` cannot have.

    Names of this class's own methods (``start``, ``outputs``) are allowed: tensors are looked up in
    the dictionaries, never as attributes.

    Raises:
        KeyError: The name is an attribute of `nn.Module`, or a submodule has it.
    """
    if name in _TAKEN or name in owner._modules:  # noqa: SLF001
        raise KeyError(name)


def resolve(argument: Any, values: dict[fx.Node, Any]) -> Any:  # noqa: ANN401  # any literal
    """Replace all nodes in a nested argument by their values; tuples become lists."""
    if isinstance(argument, fx.Node):
        return values[argument]
    if isinstance(argument, (list, tuple)):
        return [resolve(item, values) for item in argument]
    return argument


def _compile_steps(
    graph: fx.Graph,
    device: torch.device,
    outputs: Any,  # noqa: ANN401  # a flat list of nodes and literals
) -> list[Step]:
    last_use: dict[fx.Node, fx.Node] = {}
    for node in graph.nodes:
        for used in node.all_input_nodes:
            last_use[used] = node
    last_use |= {each: graph.output_node() for each in outputs if isinstance(each, fx.Node)}
    steps: list[Step] = []
    for node in graph.nodes:
        if node.op in {"placeholder", "output"}:
            continue
        dead = tuple(n for n in node.all_input_nodes if last_use[n] is node)
        target = node.target if callable(node.target) else _no_call
        steps.append((node, target, *placed(node, device), dead))
    return steps


def _no_call() -> None:
    raise AssertionError("get_attr nodes are not callable")
