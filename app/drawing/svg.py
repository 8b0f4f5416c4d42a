"""SVG elements as text, with untrusted text escaped."""

import re

# Control characters, halves of characters, and what turns the direction of the text around it:
# XML forbids most of them.
_NO_TEXT = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069\ufffe\uffff]"
)
_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&#34;", "'": "&#39;"})


def clean(text: str) -> str:
    """Replace every character that is not printable text."""
    return _NO_TEXT.sub("\N{REPLACEMENT CHARACTER}", text)


def escape(text: str) -> str:
    """Escape text for an element or an attribute."""
    return clean(text).translate(_ESCAPES)


def element(name: str, content: str | None = None, /, **attributes: object) -> str:
    """Return an element; omit attributes that are None.

    Args:
        name: Tag name.
        content: Escaped content; None for an empty element.
        attributes: ``text_anchor`` becomes ``text-anchor``, ``class_`` becomes ``class``.
    """
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    return f"<{name}{written}/>" if content is None else f"<{name}{written}>{content}</{name}>"


def coordinate(value: float) -> str:
    """Format a coordinate; equal numbers give equal text on every machine."""
    return f"{value:.1f}".removesuffix(".0")
