"""Untrusted zip files: check the directory before `zipfile` reads it.

`zipfile` reads the whole directory and creates an object of several hundred bytes per entry. It
also lets entries share bytes, which is how 10 MB become 281 TB (Fifield 2019, "A better zip bomb").
The caller chooses the type of the error.
"""

import zipfile
from typing import BinaryIO

_ENTRY = b"PK\x01\x02"
_LOCAL_HEADER_BYTES = 30
_ENTRY_BYTES = 512  # allowance per directory entry: 46, plus name and extra fields
_TAIL_BYTES = 2**17  # end of the file, where `zipfile` searches for the directory's record


class _Directory:
    """File wrapper that limits reads until `zipfile` has read the directory."""

    def __init__(self, file: BinaryIO, max_entries: int, error: type[Exception]) -> None:
        self.seek, self.tell, self.seekable = file.seek, file.tell, file.seekable
        self._file, self._max_entries, self._error = file, max_entries, error
        self.is_read = False

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes; until the directory is read, refuse too large a directory."""
        if self.is_read:
            return self._file.read(size)
        max_bytes = max(_TAIL_BYTES, _ENTRY_BYTES * self._max_entries)
        if size > max_bytes:
            raise self._error(
                f"the archive's directory has {size} bytes, at most {max_bytes} for the limit of "
                f"{self._max_entries} entries"
            )
        data = self._file.read(size)
        num_entries = data.count(_ENTRY) if data.startswith(_ENTRY) else 0
        if num_entries > self._max_entries:
            raise self._error(f"the archive has {num_entries} entries, at most {self._max_entries}")
        return data


def open_zip_file(file: BinaryIO, max_entries: int, error: type[Exception]) -> zipfile.ZipFile:
    """Return the zip in ``file``, which may have at most ``max_entries`` entries.

    Raises:
        error: The zip has too many entries, or too large a directory.
        zipfile.BadZipFile: The file is not a zip; `zipfile`'s other errors pass unchanged.
    """
    directory = _Directory(file, max_entries, error)
    archive = zipfile.ZipFile(directory)
    directory.is_read = True
    return archive


def find_overlap(infos: list[zipfile.ZipInfo], num_bytes: int) -> zipfile.ZipInfo | None:
    """Return an entry that overlaps another or ends past ``num_bytes``, or None."""
    end = 0
    for info in sorted(infos, key=lambda each: each.header_offset):
        if info.header_offset < end:
            return info
        end = info.header_offset + _LOCAL_HEADER_BYTES + len(info.filename) + info.compress_size
        if end > num_bytes:
            return info
    return None
