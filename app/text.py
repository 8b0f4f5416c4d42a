"""Validated text from users that every database and terminal accepts."""

import codecs
import re
from typing import Annotated

from pydantic import AfterValidator

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# The last two ranges reorder what is shown after them: "exe.gpj" reads as "jpg.exe".
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_UNSTORABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


def check_text(text: str) -> str:
    """Return the text; refuse characters that no database accepts: NUL and lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError("the text holds half of a surrogate pair") from error
    if (found := _UNSTORABLE.search(text)) is not None:
        raise ValueError(f"the text holds the control character U+{ord(found[0]):04X}")
    return text


def check_line(text: str) -> str:
    """Return the text; refuse control characters, such as line breaks and changes of direction."""
    check_text(text)
    if (found := _CONTROL.search(text)) is not None:
        raise ValueError(f"the text holds the control character U+{ord(found[0]):04X}")
    return text


def check_name(text: str) -> str:
    """Return the text; refuse control characters, and text of which nothing is seen."""
    check_line(text)
    if text and not any(each.isprintable() and not each.isspace() for each in text):
        raise ValueError("the text has no visible character")
    return text


def decode_text(data: bytes) -> str:
    """Decode UTF-8, or the encoding of a byte order mark: Windows writes one before JSON.

    Raises:
        UnicodeDecodeError: The bytes are in neither encoding.
    """
    encoding = next((name for mark, name in _MARKS if data.startswith(mark)), "utf-8")
    return data.decode(encoding)


def without_mark(data: bytes) -> bytes:
    """Return JSON as UTF-8 without a byte order mark; undecodable bytes stay unchanged."""
    if not data.startswith(tuple(mark for mark, _ in _MARKS)):
        return data
    try:
        return decode_text(data).encode()
    except UnicodeError:
        return data


Text = Annotated[str, AfterValidator(check_text)]
Line = Annotated[str, AfterValidator(check_line)]
NameText = Annotated[str, AfterValidator(check_name)]
"""What users call something: a name or a tag."""
