"""Translate Pydantic's validation errors into messages for users: place, value, requirement.

Pydantic's messages are for programmers ("Extra inputs are not permitted"). `_NEEDS` holds our text
for each error type. Unknown keys and values are compared with the known ones, here and elsewhere in
the same schema, to suggest what was meant.
"""

import json
import re
import types
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from app.contracts.errors import ErrorDetail, InvalidInputError
from app.contracts.suggestions import closest, suggestion

_MOST_SHOWN = 80
_MOST_KEYS = 20
_SECRET = re.compile(r"secret|password|token|(^|_)key$", re.IGNORECASE)
_PLACE = re.compile(r"line (\d+) column (\d+)")
_QUOTED = re.compile(r"'([^']*)'")

# Names in other tools.
_SYNONYMS = {
    "lr": "learning_rate", "wd": "weight_decay", "bs": "batch_size", "num_epochs": "epochs",
    "flops": "macs", "parameters": "params", "amount": "ratio", "sparsity": "ratio",
    "pruning_ratio": "ratio", "ch_sparsity": "ratio", "importance": "criterion",
    "ignored_layers": "exclude", "normalize": "mean", "size": "resize", "image_size": "resize",
    "val": "validation", "model_id": "model", "dataset_id": "dataset", "data": "dataset",
}  # fmt: skip

Context = Mapping[str, Any]


def _numbers(context: Context, name: str) -> str:
    return f"{context[name]:g}" if isinstance(context[name], float) else str(context[name])


# Requirement by Pydantic's error type; the test checks all types that can be raised.
_NEEDS: dict[str, Callable[[Context], str]] = {
    "int_type": lambda _: "a whole number",
    "int_parsing": lambda _: "a whole number",
    "int_parsing_size": lambda _: "a whole number that is not as large",
    "int_from_float": lambda _: "a whole number",
    "float_type": lambda _: "a number",
    "float_parsing": lambda _: "a number",
    "finite_number": lambda _: "a finite number",
    "bool_type": lambda _: "true or false",
    "bool_parsing": lambda _: "true or false",
    "none_required": lambda _: "null",
    "string_type": lambda _: "text",
    "string_sub_type": lambda _: "text",
    "string_unicode": lambda _: "text in UTF-8",
    "string_too_short": lambda c: f"text of at least {_count(c['min_length'], 'character')}",
    "string_too_long": lambda c: f"text of at most {_count(c['max_length'], 'character')}",
    "string_pattern_mismatch": lambda c: f"text of the form {c['pattern']}",
    "greater_than": lambda c: f"above {_numbers(c, 'gt')}",
    "greater_than_equal": lambda c: f"at least {_numbers(c, 'ge')}",
    "less_than": lambda c: f"below {_numbers(c, 'lt')}",
    "less_than_equal": lambda c: f"at most {_numbers(c, 'le')}",
    "multiple_of": lambda c: f"a multiple of {_numbers(c, 'multiple_of')}",
    "literal_error": lambda c: _one_of(_QUOTED.findall(c["expected"])),
    "enum": lambda c: _one_of(_QUOTED.findall(c["expected"])),
    "list_type": lambda _: "a list",
    "tuple_type": lambda _: "a list",
    "set_type": lambda _: "a list",
    "iterable_type": lambda _: "a list",
    "dict_type": lambda _: "an object with keys and values",
    "mapping_type": lambda _: "an object with keys and values",
    "model_type": lambda _: "an object with keys and values",
    "model_attributes_type": lambda _: "an object with keys and values",
    "dataclass_type": lambda _: "an object with keys and values",
    "too_short": lambda c: f"of {_count(c['min_length'], 'item')} or more",
    "too_long": lambda c: f"of {_count(c['max_length'], 'item')} or fewer",
    "is_instance_of": lambda _: "of another type",
    "url_type": lambda _: "an address such as https://example.org/path",
    "url_parsing": lambda _: "an address such as https://example.org/path",
    "url_syntax_violation": lambda _: "an address such as https://example.org/path",
    "url_too_long": lambda c: f"an address of at most {c['max_length']} characters",
    "url_scheme": lambda c: f"an address that begins with {c['expected_schemes']}",
}
# Error types with a message of their own.
_SENTENCES = {
    "missing", "extra_forbidden", "union_tag_invalid", "union_tag_not_found", "value_error",
    "assertion_error", "json_invalid", "json_type", "invalid_key",
}  # fmt: skip
KNOWN_TYPES = frozenset(_NEEDS) | _SENTENCES


@dataclass
class _Place:
    """Place of an error in the schema.

    Attributes:
        parts: Parts of the JSON pointer in the request, without the names of union variants.
        kinds: Types allowed at this place.
        variants: Models by tag, if the place is a union of models.
    """

    parts: list[str] = field(default_factory=list)
    kinds: list[Any] = field(default_factory=list)
    variants: dict[str, type[BaseModel]] = field(default_factory=dict)

    @property
    def models(self) -> list[type[BaseModel]]:
        return [kind for kind in self.kinds if _is_model(kind)]


def complaints(
    error: ValidationError | Sequence[Mapping[str, Any]],
    schema: Any = None,  # noqa: ANN401  # a type, or a generic alias of one
    prefix: str = "",
) -> list[ErrorDetail]:
    """Return one detail for each place with an error.

    Args:
        error: Pydantic's error, or its list of errors.
        schema: Expected type; without it there are no suggestions.
        prefix: Prefix of the JSON pointers.
    """
    items = error.errors(include_url=False) if isinstance(error, ValidationError) else error
    found: dict[str, list[tuple[Mapping[str, Any], _Place]]] = {}
    for item in items:
        place = _walk(schema, item["loc"])
        if item["type"] in {"union_tag_invalid", "union_tag_not_found"}:
            place.parts.append(item["ctx"]["discriminator"].strip("'"))
        found.setdefault(_pointer(prefix, place.parts), []).append((item, place))
    return [ErrorDetail(pointer, _sentence(pointer, group)) for pointer, group in found.items()]


def refusal(details: Sequence[ErrorDetail]) -> InvalidInputError:
    """Return an error with these details; the first one gives the message."""
    first = details[0]
    subject = f"{first.pointer}:" if first.pointer else "the body"
    return InvalidInputError(f"{subject} {first.detail}", details=details)


def _sentence(  # noqa: PLR0911  # one a type
    pointer: str, group: Sequence[tuple[Mapping[str, Any], _Place]]
) -> str:
    item, place = group[0]
    kind, context, value = item["type"], item.get("ctx", {}), item.get("input")
    match kind:
        case "missing":
            return "is missing" + _meant_instead(place, value)
        case "extra_forbidden":
            return _unknown(place, value)
        case "union_tag_invalid":
            tags = _QUOTED.findall(context["expected_tags"])
            return _wrong(pointer, context["tag"], [_one_of(tags)], tags)
        case "union_tag_not_found":
            return f"is missing: it must be {_one_of(list(place.variants))}"
        case "value_error" | "assertion_error":
            return str(context.get("error", "")) or "is not accepted"
        case "json_invalid" | "json_type":
            at = _PLACE.search(str(context.get("error", "")))
            where = f": it goes wrong at line {at[1]}, column {at[2]}" if at else ""
            return f"is not JSON{where}"
        case "invalid_key":
            return "has a key that is not text"
    needs = [_NEEDS[name](i.get("ctx", {})) for i, _ in group if (name := _type(i)) in _NEEDS]
    expected = [i["ctx"]["expected"] for i, _ in group if i["type"] in {"literal_error", "enum"}]
    if not needs:
        return f"is {_shown(pointer, value)}, which is not accepted"
    return _wrong(pointer, value, needs, [word for e in expected for word in _QUOTED.findall(e)])


def _type(item: Mapping[str, Any]) -> str:
    """Return the type of an error. For text with a validator, Pydantic speaks of a list's items."""
    kind = str(item["type"])
    is_text = isinstance(item.get("input"), str) and kind in {"too_short", "too_long"}
    return f"string_{kind}" if is_text else kind


def _wrong(pointer: str, value: object, needs: Iterable[str], words: Sequence[str]) -> str:
    meant = suggestion(value, words) if isinstance(value, str) else ""
    return f"must be {' or '.join(dict.fromkeys(needs))}, not {_shown(pointer, value)}{meant}"


def _unknown(place: _Place, _value: object) -> str:
    """Return the message about an unknown key, with a suggestion if there is one."""
    *_, key = place.parts
    models = place.models
    known = list(dict.fromkeys(name for model in models for name in model.model_fields))
    for tag, model in place.variants.items():
        if key in model.model_fields and model not in models:
            return f"goes with {_tag_name(model, tag)} {tag!r}"
    near = closest(key, known, {k: v for k, v in _SYNONYMS.items() if v in known})
    if near is None and (path := _elsewhere(place, key)) is not None:
        return f"is not known here: did you mean {path!r}?"
    keys = f" Known are {', '.join(known[:_MOST_KEYS])}" if known else ""
    if near is not None:
        return f"is not known: did you mean {near!r}?"
    return f"is not known.{keys}"


def _meant_instead(place: _Place, value: object) -> str:
    """Suggest a key that was sent as the intended spelling of a missing one."""
    if not isinstance(value, dict) or not place.parts:
        return ""
    known = {name for model in place.models for name in model.model_fields}
    near = closest(place.parts[-1], [str(key) for key in value if key not in known])
    return f": is it {near!r}?" if near is not None else ""


def _elsewhere(place: _Place, key: str) -> str | None:
    """Return the dotted path, within the same models, of a key of this name."""
    names = {key, _SYNONYMS.get(key.lower(), key)}
    for model in place.models:
        for path in _paths(model, ""):
            if path.rpartition(".")[2] in names:
                return path
    return None


def _paths(model: type[BaseModel], prefix: str) -> Iterator[str]:
    for name, info in model.model_fields.items():
        yield f"{prefix}{name}"
        for inner in _kinds(_annotation(info)):
            if _is_model(inner):
                yield from _paths(inner, f"{prefix}{name}.")


def _walk(schema: Any, location: Sequence[str | int]) -> _Place:  # noqa: ANN401  # a type
    place = _Place(kinds=_kinds(schema))
    parents = place.kinds
    for number, part in enumerate(location):
        is_last = number == len(location) - 1
        models = [kind for kind in place.kinds if _is_model(kind)]
        fields = [model.model_fields[part] for model in models if part in model.model_fields]
        tagged = {tag: model for model in models for tag in _tags(model)}
        if part in tagged and len(place.variants) > 1 and place.kinds != [tagged[str(part)]]:
            place.kinds = [tagged[str(part)]]
            parents = place.kinds
        elif fields:
            place.parts.append(str(part))
            parents = models
            place.kinds = [kind for info in fields for kind in _kinds(_annotation(info))]
            inner = [kind for kind in place.kinds if _is_model(kind)]
            place.variants = {tag: model for model in inner for tag in _tags(model)}
        elif isinstance(part, int) or (is_last and models) or _is_mapping(place.kinds):
            place.parts.append(str(part))
            parents = place.kinds
            place.kinds = [] if models else _items(place.kinds)
        elif not place.kinds:
            place.parts.append(str(part))
        # Otherwise it is Pydantic's name of a union member, which is not part of the request.
    if location and (not place.kinds or place.parts[-1:] == [str(location[-1])]):
        # The last part is the wrong key; the known keys are those of its parent.
        place.kinds = parents if not place.models or parents is not place.kinds else place.kinds
    return place


def _kinds(annotation: Any) -> list[Any]:  # noqa: ANN401  # a type annotation of any form
    """Return the types that an annotation allows."""
    origin = get_origin(annotation)
    if origin in {Union, types.UnionType}:
        return [kind for part in get_args(annotation) for kind in _kinds(part)]
    if hasattr(annotation, "__metadata__"):
        return _kinds(get_args(annotation)[0])
    return [] if annotation is None else [annotation]


def _annotation(info: FieldInfo) -> Any:  # noqa: ANN401  # a type
    return info.annotation


def _items(kinds: Iterable[Any]) -> list[Any]:
    found = []
    for kind in kinds:
        arguments = [each for each in get_args(kind) if each is not Ellipsis]
        if arguments and get_origin(kind) in {dict, list, tuple, Mapping, Sequence}:
            found += _kinds(arguments[-1])
    return found


def _is_mapping(kinds: Iterable[Any]) -> bool:
    return any(get_origin(kind) in {dict, Mapping} for kind in kinds)


def _is_model(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _tags(model: type[BaseModel]) -> list[str]:
    """Return the values of the field that tells a model from its siblings in a union."""
    for name in ("mode", "kind", "type"):
        info = model.model_fields.get(name)
        if info is not None and get_origin(info.annotation) is Literal:
            values = get_args(info.annotation)
            return [str(value) for value in values] if len(values) == 1 else []
    return []


def _tag_name(model: type[BaseModel], tag: str) -> str:
    return next(
        name for name, info in model.model_fields.items() if tag in get_args(info.annotation)
    )


def _pointer(prefix: str, parts: Iterable[str]) -> str:
    return prefix + "".join(f"/{part.replace('~', '~0').replace('/', '~1')}" for part in parts)


def _shown(pointer: str, value: object) -> str:
    if _SECRET.search(pointer.rpartition("/")[2]):
        return "the given value"
    if isinstance(value, bytes):
        value = value.decode(errors="replace")
    text = json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= _MOST_SHOWN else f"{text[: _MOST_SHOWN - 2]} …"


def _one_of(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"one of {', '.join(words)}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
