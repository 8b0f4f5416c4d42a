"""What a model may cost to read and to compute; the service sets the numbers."""

from dataclasses import dataclass

_MEBIBYTE = 1024**2
_GIBIBYTE = 1024**3


@dataclass(frozen=True)
class ModelLimits:
    """Past one of these a model is refused, before what it asks for is allocated.

    Attributes:
        model_members: Entries of the archive.
        graph_bytes: One JSON entry.
        graph_nodes: Calls of the graph.
        tensor_rank: Dimensions of any tensor, stored or computed.
        tensor_elements: All stored tensors together.
        activation_bytes: Values alive at once for two samples, views counted as copies.
        macs: Multiply-accumulates for one sample; see `cost`.
    """

    model_members: int = 20_000
    graph_bytes: int = 64 * _MEBIBYTE
    graph_nodes: int = 50_000
    tensor_rank: int = 8
    tensor_elements: int = 2**30
    activation_bytes: int = 4 * _GIBIBYTE
    macs: int = 10**12
