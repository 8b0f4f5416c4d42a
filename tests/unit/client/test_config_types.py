"""The types of the config are those of the service's schema."""

from secateur.config import PruneConfig
from tools.config_types import TARGET, generate


def test_the_types_are_up_to_date() -> None:
    assert TARGET.read_text(encoding="utf-8") == generate(), "run python -m tools.config_types"


def test_the_types_name_every_option() -> None:
    assert {"selection", "criterion", "retrain", "seed"} <= PruneConfig.__annotations__.keys()
