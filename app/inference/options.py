"""Options of an inference request: variant, priority and deadline."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, cast, get_args

from app.contracts.errors import InvalidInputError
from app.inference.tensors import invalid

Variant = Literal["pruned", "base", "int8", "both", "all"]
VARIANTS: tuple[Variant, ...] = get_args(Variant)
_PRIORITIES = range(-100, 101)
_MOST_SECONDS = 3600.0


class Options(NamedTuple):
    """Options of one request.

    Attributes:
        variant: The named model, the model it was pruned from, its int8 form, or a comparison:
            of the first two, or of all.
        priority: Higher runs first.
        deadline: Time on the event loop's clock.
    """

    variant: Variant = "pruned"
    priority: int = 0
    deadline: float | None = None


NO_OPTIONS = Options()


def parse_options(found: Mapping[str, Any] | None, pointer: str = "/parameters") -> Options:
    """Return the options in a body's ``parameters`` or in a query.

    Raises:
        InvalidInputError: An option is unknown or has an invalid value.
    """
    if not found:
        return NO_OPTIONS
    if not isinstance(found, Mapping):
        raise invalid(pointer, "must be an object")
    unknown = sorted(found.keys() - {"variant", "priority", "timeout_seconds"})
    if unknown:
        raise invalid(
            f"{pointer}/{unknown[0][:64]}",
            "unknown option; use variant, priority or timeout_seconds",
        )
    variant = found.get("variant", "pruned")
    if variant not in VARIANTS:
        raise invalid(f"{pointer}/variant", f"must be one of {', '.join(VARIANTS)}")
    deadline = None
    if (seconds := found.get("timeout_seconds")) is not None:
        seconds = _number(seconds, f"{pointer}/timeout_seconds")
        if not 0 < seconds <= _MOST_SECONDS:
            raise invalid(
                f"{pointer}/timeout_seconds", f"must be above 0 and at most {_MOST_SECONDS:g}"
            )
        deadline = asyncio.get_running_loop().time() + seconds
    priority = _number(found.get("priority", 0), f"{pointer}/priority")
    if priority not in _PRIORITIES:
        raise invalid(f"{pointer}/priority", "must be a whole number from -100 to 100")
    return Options(cast("Variant", variant), int(priority), deadline)


def _number(value: object, pointer: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise invalid(pointer, "must be a number")
    try:
        return float(value)
    except (ValueError, OverflowError) as error:
        raise invalid(pointer, "must be a number") from error


def refuse_without_parent(model_id: str) -> InvalidInputError:
    """Return the error for a base that does not exist."""
    return invalid(
        "/parameters/variant",
        f"model {model_id} has no base model: it was not pruned from another one",
    )


def refuse_without_int8(model_id: str, reason: str, variants: Sequence[str]) -> InvalidInputError:
    """Return the error for an int8 form that does not exist.

    Args:
        model_id: The model.
        reason: Why there is none, in a sentence.
        variants: Variants that there are.
    """
    known = ", ".join(variants)
    return invalid(
        "/parameters/variant",
        f"model {model_id} has no variant int8. {reason} It can be asked for {known}",
    )
