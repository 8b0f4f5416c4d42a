"""LSTM, GRU and RNN: one layer, in one direction or both."""

import torch
from torch import Tensor

from secateur.engine.onnx_in.batch import repeated
from secateur.engine.onnx_in.call import Call, Function, aten, is_symbol
from secateur.engine.program.shapes import MAX_PARTS

_aten = torch.ops.aten
# Torch's order of the gates, by their positions in ONNX's: i, o, f, c and z, r, h.
_LSTM_GATES = (0, 2, 3, 1)
_GRU_GATES = (1, 0, 2)


def lstm(call: Call) -> tuple[Tensor, Tensor, Tensor]:
    """LSTM."""
    if call.has(7):
        call.refuse("has peepholes, which are not supported")
    call.check("input_forget", 0)
    x, weights, hidden = _arguments(call, _LSTM_GATES)
    cell = _state(call, 6, x, hidden)
    start = _state(call, 5, x, hidden)
    backwards = call.attribute("direction", "forward") == "reverse"
    is_both = call.attribute("direction", "forward") == "bidirectional"
    given = torch.flip(x, [0]) if backwards else x
    y, h, c = _aten.lstm.input(given, [start, cell], weights, True, 1, 0.0, False, is_both, False)
    return _outputs(y, hidden, is_both=is_both, is_backwards=backwards), h, c


def gru(call: Call) -> tuple[Tensor, Tensor]:
    """GRU, whose reset gate is applied after the product, as torch does."""
    call.check("linear_before_reset", 1)
    x, weights, hidden = _arguments(call, _GRU_GATES)
    start = _state(call, 5, x, hidden)
    backwards = call.attribute("direction", "forward") == "reverse"
    is_both = call.attribute("direction", "forward") == "bidirectional"
    given = torch.flip(x, [0]) if backwards else x
    y, h = _aten.gru.input(given, start, weights, True, 1, 0.0, False, is_both, False)
    return _outputs(y, hidden, is_both=is_both, is_backwards=backwards), h


def _arguments(call: Call, gates: tuple[int, ...]) -> tuple[Tensor, list[Tensor], int]:
    """Return the sequence (S, N, C), the weights in torch's order, and the hidden width."""
    call.check("layout", 0)
    if call.attribute("activations") is not None and len(gates) > 1:
        wanted = ["Sigmoid", "Tanh", "Tanh"] if len(gates) == 4 else ["Sigmoid", "Tanh"]  # noqa: PLR2004  # an LSTM
        found = [str(name) for name in call.attribute("activations")]
        if found != wanted * (len(found) // len(wanted)):
            call.refuse(f"has the activations {', '.join(found)[:80]}, which are not supported")
    if call.attribute("clip") is not None:
        call.refuse("has a clip, which is not supported")
    x, w, r = call.tensor(0), call.weight(1), call.weight(2)
    hidden = int(r.shape[2])
    if call.has(4):
        _check_lengths(call, x.shape[0])
    if not is_symbol(x.shape[0]) and x.shape[0] > MAX_PARTS:  # each step is a call while exporting
        call.refuse(f"takes {x.shape[0]} steps, at most {MAX_PARTS} are accepted")
    b = call.weight(3) if call.has(3) else torch.zeros([w.shape[0], 2 * w.shape[1]], dtype=w.dtype)
    weights: list[Tensor] = []
    for direction in range(w.shape[0]):
        both = _aten.select.int(b, 0, direction)
        biases = _aten.split_with_sizes.default(both, [w.shape[1]] * 2, 0)
        parts = (_aten.select.int(w, 0, direction), _aten.select.int(r, 0, direction), *biases)
        weights += [_in_order(part, hidden, gates) for part in parts]
    return x, weights, hidden


def _check_lengths(call: Call, steps: int) -> None:
    """Refuse sequences of several lengths; TensorFlow's exporter writes one for all samples."""
    lengths = call.value(4)
    if isinstance(lengths, Tensor) or any(each != steps for each in lengths.flat):
        call.refuse("has sequences of several lengths, which are not supported")


def reverse_sequence(call: Call) -> Tensor:
    """ReverseSequence over whole sequences."""
    x, axis = call.tensor(0), call.attribute("time_axis", 0)
    lengths = call.known(1)
    if any(each != x.shape[axis] for each in lengths.flat):
        call.refuse("reverses a part of the sequence, which is not supported")
    return aten(_aten.flip.default, x, [axis])


def _in_order(weight: Tensor, hidden: int, gates: tuple[int, ...]) -> Tensor:
    parts = _aten.split_with_sizes.default(weight, [hidden] * len(gates), 0)
    return aten(_aten.cat.default, [parts[gate] for gate in gates], 0)


def _state(call: Call, index: int, x: Tensor, hidden: int) -> Tensor:
    """Return an initial state (directions, N, hidden) for every sample."""
    directions = 2 if call.attribute("direction", "forward") == "bidirectional" else 1
    if not call.has(index):
        return aten(_aten.full.default, [directions, x.shape[1], hidden], 0.0, dtype=x.dtype)
    given = call.tensor(index)
    if not is_symbol(given.shape[1]) and given.shape[1] in {1, call.batch_size}:
        return repeated(given, 1, x.shape[1])
    return given


def _outputs(y: Tensor, hidden: int, *, is_both: bool, is_backwards: bool) -> Tensor:
    """Return all steps (S, directions, N, hidden)."""
    if is_backwards:
        y = torch.flip(y, [0])
    if not is_both:
        return aten(_aten.unsqueeze.default, y, 1)
    return torch.unflatten(y, 2, [2, hidden]).permute(0, 2, 1, 3)


def rnn(call: Call) -> tuple[Tensor, Tensor]:
    """RNN with tanh or ReLU."""
    names = {str(name) for name in call.attribute("activations", ["Tanh"])}
    if names not in ({"Tanh"}, {"Relu"}):
        call.refuse(f"has the activations {', '.join(sorted(names))[:80]}, which are not supported")
    x, weights, hidden = _arguments(call, (0,))
    start = _state(call, 5, x, hidden)
    backwards = call.attribute("direction", "forward") == "reverse"
    is_both = call.attribute("direction", "forward") == "bidirectional"
    given = torch.flip(x, [0]) if backwards else x
    packet = _aten.rnn_tanh.input if names == {"Tanh"} else _aten.rnn_relu.input
    y, h = packet(given, start, weights, True, 1, 0.0, False, is_both, False)
    return _outputs(y, hidden, is_both=is_both, is_backwards=backwards), h


RECURRENT: dict[str, Function] = {
    "LSTM": lstm,
    "GRU": gru,
    "RNN": rnn,
    "ReverseSequence": reverse_sequence,
}
