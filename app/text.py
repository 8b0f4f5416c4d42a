"""Text from users, of the kinds that every database and every terminal takes."""

import codecs
import re
from typing import Annotated

from pydantic import AfterValidator

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_CONTROL = re.compile(r"[\x00-\x1f\x7f\x80-\x9f\u2028\u2029]")
_UNSTORABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


def check_text(text: str) -> str:
    """Return the text, unless it holds what no database takes: NUL, and halves of characters."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError("the text holds half of a surrogate pair") from error
    if (found := _UNSTORABLE.search(text)) is not None:
        raise ValueError(f"the text holds the control character U+{ord(found[0]):04X}")
    return text


def check_line(text: str) -> str:
    """Return the text, unless it holds any control character, a line's end among them."""
    check_text(text)
    if (found := _CONTROL.search(text)) is not None:
        raise ValueError(f"the text holds the control character U+{ord(found[0]):04X}")
    return text


def decode_text(data: bytes) -> str:
    """Return UTF-8 as text, or what a byte order mark says: Windows writes one before JSON.

    Raises:
        UnicodeDecodeError: It is neither.
    """
    encoding = next((name for mark, name in _MARKS if data.startswith(mark)), "utf-8")
    return data.decode(encoding)


def without_mark(data: bytes) -> bytes:
    """Return JSON as UTF-8 without a byte order mark; what cannot be read stays as it is."""
    if not data.startswith(tuple(mark for mark, _ in _MARKS)):
        return data
    try:
        return decode_text(data).encode()
    except UnicodeError:
        return data


Text = Annotated[str, AfterValidator(check_text)]
Line = Annotated[str, AfterValidator(check_line)]
