"""Surgery: from a program and a plan to the masked twin and the smaller program."""

from worker.engine.surgery.audit import Audit, InexactOp, audit, certify_retrained
from worker.engine.surgery.carry import carry_over
from worker.engine.surgery.certificate import Certificate, Deviation, certify, deviation
from worker.engine.surgery.compact import compact
from worker.engine.surgery.mask import expand_program, keep_masks, mask_program

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
    "keep_masks",
    "mask_program",
]
