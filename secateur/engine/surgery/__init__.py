"""Surgery: build the masked twin and the compacted program from a program and a plan."""

from secateur.engine.surgery.audit import Audit, InexactOp, audit, certify_retrained, inexact_ops
from secateur.engine.surgery.carry import carry_over
from secateur.engine.surgery.certificate import (
    Certificate,
    Deviation,
    certify,
    deviation,
    num_certified,
)
from secateur.engine.surgery.compact import compact
from secateur.engine.surgery.mask import expand_program, keep_masks, mask_program

__all__ = [
    "Audit",
    "Certificate",
    "Deviation",
    "InexactOp",
    "audit",
    "carry_over",
    "certify",
    "certify_retrained",
    "compact",
    "deviation",
    "expand_program",
    "inexact_ops",
    "keep_masks",
    "mask_program",
    "num_certified",
]
