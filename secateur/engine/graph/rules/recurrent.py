"""Recurrent layers: the width of the input is contracted, hidden channels are groups of gate rows.

The j-th hidden channel is the j-th row of every gate, of both weights and both biases, and the j-th
column of the recurrent weight. With these at zero its state stays zero, so removal is exact. All
layers and directions of a call have one hidden width, so they lose the same channels.
"""

from typing import Any

from torch import Tensor

from secateur.engine.graph.atoms import MemberRole
from secateur.engine.graph.propagate import Labels, Output, Rule, Site
from secateur.engine.graph.rules.contraction import contract

_NO_PARAMETER = "is combined with values that no parameter produces"


def layers(site: Site) -> Output:
    """Rule of ``lstm``, ``gru`` and ``rnn``: x (L, N, C) or (N, L, C) → (…, directions x hidden).

    The further results, and the initial states, are (layers x directions, N, hidden).
    """
    x, states, weights = site.node.args[0], site.argument(1, "hx"), site.argument(2, "params")
    has_bias, num_layers = site.literal(3, "has_biases"), site.literal(4, "num_layers")
    directions = 2 if site.literal(7, "bidirectional") else 1
    num_tensors = 4 if has_bias else 2
    labels = site.labels_of(x)
    nothing: list[Labels] = [{} for _ in site.shapes[site.node]]
    last = len(site.shape_of(x)) - 1
    for dim in [dim for dim in labels if dim != last]:
        site.pin_label(labels, dim, "is a position in a sequence")
    if len(weights) != num_tensors * num_layers * directions:  # an LSTM with projections
        site.pin_inputs("flows into a recurrent layer with projections")
        return nothing
    hidden = site.labels_of(weights[1]).get(1)
    channels, value = labels.get(last), x
    for layer in range(num_layers):
        for direction in range(directions):
            start = num_tensors * (layer * directions + direction)
            _unite_cell(site, channels, value, weights[start : start + num_tensors], hidden)
        channels = None if hidden is None else hidden.repeat(directions)
        value = site.node
    for state in states if isinstance(states, (list, tuple)) else [states]:
        _unite_state(site, state, hidden)
    if hidden is None or channels is None:
        return nothing
    rank = len(site.output_shape)
    after: list[Labels] = [{rank - 1: hidden} for _ in site.shapes[site.node][1:]]
    return [{last: channels}, *after]


def cell(site: Site) -> Output:
    """Rule of ``lstm_cell``, ``gru_cell`` and ``rnn_cell``: x (N, C), states (N, hidden)."""
    x, states, weights = site.node.args[0], site.argument(1, "hx"), list(site.node.args[2:])
    labels = site.labels_of(x)
    hidden = site.labels_of(weights[1]).get(1)
    _unite_cell(site, labels.get(1), x, weights, hidden)
    for state in states if isinstance(states, (list, tuple)) else [states]:
        _unite_state(site, state, hidden)
    output: Labels = {} if hidden is None else {1: hidden}
    results = site.shapes[site.node]
    return [dict(output) for _ in results] if isinstance(results, (list, tuple)) else output


def _unite_cell(
    site: Site, channels: Tensor | None, x: object, weights: list[Any], hidden: Tensor | None
) -> None:
    """Contract the input, and unite the rows of every gate with the hidden channels."""
    inputs, recurrent = site.labels_of(weights[0]), site.labels_of(weights[1])
    contract(site, channels, inputs.get(1), [weights[0], x], is_weight=True)
    columns = recurrent.get(1)
    site.atoms.set_role(columns, MemberRole.CONSUMER)
    if columns is not None and hidden is not None:
        site.atoms.unite(columns, hidden)
    rows = [inputs.get(0), recurrent.get(0), *(site.labels_of(b).get(0) for b in weights[2:])]
    for number, ids in enumerate(rows):
        if ids is None:
            continue
        is_matrix = number < 2  # noqa: PLR2004  # the biases follow
        site.atoms.set_role(ids, MemberRole.PRODUCER if is_matrix else MemberRole.AFFINE)
        if hidden is None:
            site.atoms.pin(ids, _NO_PARAMETER, site.node)
        else:
            site.atoms.unite(ids.view(-1, len(hidden)), hidden.view(1, -1))


def _unite_state(site: Site, state: object, hidden: Tensor | None) -> None:
    """Unite an initial state's last dimension with the hidden channels."""
    found = site.labels_of(state)
    last = len(site.shape_of(state)) - 1
    ids = found.pop(last, None)
    for dim in list(found):
        site.pin_label(found, dim, "is a position of a recurrent state")
    if ids is not None and hidden is not None:
        site.atoms.unite(ids, hidden)
    elif ids is not None or hidden is not None:
        site.atoms.pin(ids if hidden is None else hidden, _NO_PARAMETER, site.node)  # type: ignore[arg-type]


RULES: dict[str, Rule] = {
    **dict.fromkeys(["lstm", "gru", "rnn_tanh", "rnn_relu"], layers),
    **dict.fromkeys(["lstm_cell", "gru_cell", "rnn_tanh_cell", "rnn_relu_cell"], cell),
}
