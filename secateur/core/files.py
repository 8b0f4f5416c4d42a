"""Recognises the kind of a file with the table in `file_kinds`, and refuses unsupported kinds.

Only a few hundred kilobytes are read: the beginning and, for the list of a zip's members, the end.
While a body is still arriving, its beginning alone is checked.
"""

import re
import stat
from pathlib import Path

from secateur.core.file_kinds import FILE_KINDS, TAKEN, FileKind
from secateur.core.formats import Use

HEAD_BYTES = 64 * 1024
_TAIL_BYTES = 256 * 1024
_MOST_NAMES = 1000
_ARTICLES: dict[Use, str] = {"model": "a model", "dataset": "a data set"}
_UNSURE = {"zip", "text"}  # kinds that the rest of the file may change
# Signatures of a zip's member headers: before each member, and in the list at the end.
_LOCAL, _LISTED = re.compile(rb"PK\x03\x04", re.DOTALL), re.compile(rb"PK\x01\x02", re.DOTALL)
_LOCAL_NAME, _LISTED_NAME = (26, 30), (28, 46)  # offsets of the name's length and of the name


class WrongFileError(ValueError):
    """A file of an unsupported kind.

    Attributes:
        kind: The kind of the file; None if unknown.
    """

    def __init__(self, message: str, kind: FileKind | None) -> None:
        super().__init__(message)
        self.kind = kind


def check_path(path: Path, use: Use) -> FileKind:
    """Return the kind of a file to be sent as a model or as a data set.

    Raises:
        WrongFileError: The kind is not supported; the message names it and how to convert it.
        OSError: The file cannot be read.
    """
    if stat.S_ISDIR(path.stat().st_mode):
        raise _folder_error(path, use)
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
        size = file.seek(0, 2)
        file.seek(max(0, size - _TAIL_BYTES))
        tail = file.read()
    return check(head, tail, use, path.name)


def check(head: bytes, tail: bytes, use: Use, name: str | None = None) -> FileKind:
    """Return the kind of a complete file from its beginning and its end.

    Raises:
        WrongFileError: It is not supported as ``use``.
    """
    subject = name or "the file"
    if not head:
        raise WrongFileError(f"{subject} is empty", None)
    kind = kind_of(head, tail)
    if kind is not None and kind.use == use:
        return kind
    raise WrongFileError(_message(subject, kind, use), kind)


def check_beginning(head: bytes, use: Use, name: str | None = None) -> None:
    """Check the beginning of a file that is still arriving.

    Raises:
        WrongFileError: It is not supported as ``use``, whatever follows.
    """
    kind = kind_of(head, b"")
    is_sure = kind is not None and kind.name not in _UNSURE
    if kind is not None and is_sure and kind.use != use:
        raise WrongFileError(_message(name or "the file", kind, use), kind)


def kind_of(head: bytes, tail: bytes = b"") -> FileKind | None:
    """Return the kind of a file from its beginning and, for a zip, its end; None if unknown."""
    text = head.decode("latin-1")
    names = "\n".join(member_names(head, tail)) if head.startswith(b"PK") else ""
    return _first(text, names)


def is_image(data: bytes) -> bool:
    """Return whether these are the bytes of an image file of any format."""
    found = _first(data[:32].decode("latin-1"), "") if data else None
    return found is not None and found.name == "image"


def member_names(head: bytes, tail: bytes) -> list[str]:
    """Return names of a zip's members, those found in its beginning first."""
    found: dict[str, None] = {}
    for data, mark, (length_at, name_at) in (
        (head, _LOCAL, _LOCAL_NAME),
        (tail, _LISTED, _LISTED_NAME),
    ):
        for match in mark.finditer(data):
            at = match.start()
            length = int.from_bytes(data[at + length_at : at + length_at + 2], "little")
            name = data[at + name_at : at + name_at + length]
            if 0 < length == len(name) and len(found) < _MOST_NAMES:
                found[name.decode("latin-1").replace("\n", " ")] = None
    return list(found)


def _first(head: str, names: str) -> FileKind | None:
    for kind in FILE_KINDS:
        is_head = kind.head == "" or re.match(_python(kind.head), head)
        if is_head and (kind.members == "" or (names and re.search(kind.members, names))):
            return kind
    return None


def _python(pattern: str) -> str:
    """Return a pattern of the table in Python's syntax; JavaScript's ``[^]`` is any character."""
    return pattern.replace("[^]", r"[\x00-\xff]")


def _message(subject: str, kind: FileKind | None, use: Use) -> str:
    if kind is None:
        return f"{subject} is of an unknown kind. {TAKEN[use]}"
    if kind.use is not None and kind.use != use and not kind.advice:
        return (
            f"{subject} is {kind.what}: {_ARTICLES[kind.use]}, not {_ARTICLES[use]}. {TAKEN[use]}"
        )
    return f"{subject} is {kind.what}, which is not supported. {TAKEN[use]}" + (
        f"\n{kind.advice}" if kind.advice else ""
    )


def _folder_error(path: Path, use: Use) -> WrongFileError:
    names = []
    for found in path.rglob("*"):
        names.append(found.relative_to(path).as_posix())
        if len(names) >= _MOST_NAMES:
            break
    kind = next(
        (k for k in FILE_KINDS if not k.head and re.search(k.members, "\n".join(names))), None
    )
    if kind is not None:
        return WrongFileError(_message(path.name, kind, use), kind)
    if not names:
        return WrongFileError(f"{path.name} is an empty folder. {TAKEN[use]}", None)
    pack = f" Pack it: cd {path} && zip -r ../{path.name}.zip ." if use == "dataset" else ""
    return WrongFileError(f"{path.name} is a folder. {TAKEN[use]}{pack}", None)
