"""The list of objectives. To add one, define its record in a new file and add a line here."""

from collections.abc import Mapping
from types import MappingProxyType

from secateur.engine.objectives.bce import BCE
from secateur.engine.objectives.cross_entropy import CROSS_ENTROPY
from secateur.engine.objectives.ctc import CTC
from secateur.engine.objectives.dice import DICE
from secateur.engine.objectives.distill import DISTILL, MIXED
from secateur.engine.objectives.distill_cosine import DISTILL_COSINE
from secateur.engine.objectives.distill_sure import DISTILL_SURE
from secateur.engine.objectives.mse import MSE
from secateur.engine.objectives.objective import Objective

_ALL = (CROSS_ENTROPY, DISTILL, MIXED, MSE, BCE, DICE, CTC, DISTILL_SURE, DISTILL_COSINE)

OBJECTIVES: Mapping[str, Objective] = MappingProxyType({each.name: each for each in _ALL})
