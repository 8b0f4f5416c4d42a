"""Rows of a CSV file of latencies, and what is wrong with a file that has none."""

import csv
import io
from collections.abc import Iterator, Sequence

from secateur.secateur_bench import COLUMNS

_AS_IT_IS = "upload what secateur_bench.py of this service writes, as it is"
_MOST_NAMED = 3
_OTHER_UNITS = ("_ms", "_us", "_ns", "_milliseconds", "_microseconds")


class LatenciesError(Exception):
    """What is wrong with a file of latencies; safe to show to users."""


def rows_of(data: bytes, most_rows: int) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield the rows with their numbers, as spreadsheets count: the header is row 1.

    Raises:
        LatenciesError: The file is no CSV file with the columns of latencies.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise LatenciesError(f"the file is not CSV text in UTF-8: {_AS_IT_IS}") from error
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    number = 0
    try:
        for number, cells in enumerate(reader, 1):  # the message needs it
            if number == 1:
                _check_header(cells)
            elif not cells:
                continue  # a blank line
            elif number > most_rows + 1:
                raise LatenciesError(f"the file has more than {most_rows} rows")
            elif len(cells) != len(COLUMNS):
                raise LatenciesError(
                    f"row {number} has {len(cells)} values, and there are {len(COLUMNS)} columns"
                )
            else:
                yield number, dict(zip(COLUMNS, cells, strict=True))
    except csv.Error as error:
        raise LatenciesError(f"row {number + 1} is not CSV: {error}") from error


def quoted(text: str) -> str:
    """Return a value for a message, cut if it is long."""
    return repr(text if len(text) <= 40 else f"{text[:40]}…")  # noqa: PLR2004


def _check_header(cells: Sequence[str]) -> None:
    if tuple(cells) == COLUMNS:
        return
    for separator, name in ((";", "semicolons"), ("\t", "tabs")):
        if len(cells) < len(COLUMNS) <= separator.join(cells).count(separator) + 1:
            raise LatenciesError(
                f"the file separates its values by {name}, as spreadsheets do, and not by commas: "
                f"{_AS_IT_IS}"
            )
    missing = [name for name in COLUMNS if name not in cells]
    unknown = [name for name in cells if name not in COLUMNS]
    if len(missing) == len(COLUMNS):
        raise LatenciesError(f"row 1 names none of the columns {_named(COLUMNS)}: {_AS_IT_IS}")
    units = [name for name in unknown if name.lower().endswith(_OTHER_UNITS)]
    if missing and units:
        raise LatenciesError(
            f"the file has the column {quoted(units[0])} and no column {missing[0]!r}: times are "
            f"in seconds; {_AS_IT_IS}"
        )
    if missing:
        raise LatenciesError(f"the file has no column {_named(missing)}: {_AS_IT_IS}")
    if unknown:
        raise LatenciesError(f"the file has a column too many, {_named(unknown)}: {_AS_IT_IS}")
    raise LatenciesError(f"the file has its columns in another order, or twice: {_AS_IT_IS}")


def _named(names: Sequence[str]) -> str:
    more = len(names) - _MOST_NAMED
    return ", ".join(map(quoted, names[:_MOST_NAMED])) + (f" and {more} more" if more > 0 else "")
