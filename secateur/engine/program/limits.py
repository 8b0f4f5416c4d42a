"""Limits on the size and cost of a model; the service sets the numbers."""

from dataclasses import dataclass

_MEBIBYTE = 1024**2
_GIBIBYTE = 1024**3


@dataclass(frozen=True)
class ModelLimits:
    """Limits of a model; a model over a limit is refused before memory is allocated for it.

    Attributes:
        model_members: Entries of the archive.
        graph_bytes: Size of a JSON entry, in bytes.
        graph_nodes: Calls in the graph.
        tensor_rank: Dimensions of any tensor, stored or computed.
        tensor_elements: Elements of all stored tensors.
        activation_bytes: Bytes of all values alive at once for two samples, and of what the
            operators hold inside; views count as copies.
        macs: Multiply-accumulates for one sample; see `footprint`.
    """

    model_members: int = 20_000
    graph_bytes: int = 64 * _MEBIBYTE
    graph_nodes: int = 50_000
    tensor_rank: int = 8
    tensor_elements: int = 2**30
    activation_bytes: int = 4 * _GIBIBYTE
    macs: int = 10**12
