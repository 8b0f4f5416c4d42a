"""The list of criteria. To add one, define its record in a new file and add a line here."""

from collections.abc import Mapping
from types import MappingProxyType

from secateur.engine.saliency.batch_norm_scale import BN_SCALE
from secateur.engine.saliency.criterion import Criterion
from secateur.engine.saliency.geometric_median import GEOMETRIC_MEDIAN
from secateur.engine.saliency.jacobian import JACOBIAN
from secateur.engine.saliency.lamp import LAMP
from secateur.engine.saliency.loss import LOSS
from secateur.engine.saliency.norms import L1, L2
from secateur.engine.saliency.random_scores import RANDOM
from secateur.engine.saliency.reconstruction import RECONSTRUCTION
from secateur.engine.saliency.taylor import TAYLOR

_ALL = (
    L1,
    L2,
    LOSS,
    TAYLOR,
    JACOBIAN,
    RECONSTRUCTION,
    BN_SCALE,
    GEOMETRIC_MEDIAN,
    LAMP,
    RANDOM,
)

CRITERIA: Mapping[str, Criterion] = MappingProxyType({each.name: each for each in _ALL})
