"""Mutations of ``.safetensors`` files, mostly of their headers."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors.torch import save

from tests.attacks.mutations.parts import NUMBERS, Mutate, damaged, edit_json

NETWORK = {"name": "timm/test_resnet", "image_size": 32}
DTYPES = "F64 F32 F16 BF16 F8_E4M3 F8_E5M2 I64 BOOL U8 C64 F4 F6_E2M3 X".split()


def weights(_marker: Path) -> Mutate:
    """Return the mutations of ``.safetensors`` files."""
    torch.manual_seed(0)
    original: bytes = save(timm.create_model(NETWORK["name"].partition("/")[2]).state_dict())
    size = int.from_bytes(original[:8], "little")
    data = original[8 + size :]

    def mutate(rng: random.Random) -> tuple[str, bytes]:
        choice = rng.random()
        if choice < 0.2:
            return "safetensors", damaged(rng, original)
        head = json.loads(original[8 : 8 + size])
        names = list(head)
        for _ in range(rng.choice([1, 1, 2, 4])):
            entry = head.get(rng.choice(names))
            if entry is None:
                continue
            edits: list[Callable[[Any], object]] = [
                lambda e: e.update(dtype=rng.choice(DTYPES)),
                lambda e: e.update(shape=[rng.choice(NUMBERS) for _ in range(rng.randrange(6))]),
                lambda e: rng.shuffle(e["shape"]),
                lambda e: e.update(data_offsets=[rng.choice([0, 4, *NUMBERS]) for _ in "ab"]),
                lambda e: e.update(data_offsets=head[rng.choice(list(head))].get("data_offsets")),
                lambda e: edit_json(rng, e),
                lambda e: head.update({rng.choice(["x", "__metadata__", ""]): e}),
                lambda _e: head.pop(rng.choice(list(head))),
            ]  # fmt: skip
            rng.choice(edits)(entry)
        text = json.dumps(head).encode()
        if choice > 0.9:
            text = damaged(rng, text)
        length = len(text) if choice < 0.95 else rng.choice([0, 8, 2**31, 2**63, len(text) - 1])
        return "safetensors", length.to_bytes(8, "little") + text + data

    return mutate
