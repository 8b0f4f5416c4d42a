"""Zip files opened with suspicion: what `zipfile` trusts in a directory is checked first.

`zipfile` reads the directory of an archive whole and makes an object of several hundred bytes of
every entry, and it lets entries share bytes, which is how 10 MB become 281 TB (Fifield 2019, "A
better zip bomb"). Who calls says what kind of error that is.
"""

import zipfile
from typing import BinaryIO

_ENTRY = b"PK\x01\x02"
_LOCAL_HEADER_BYTES = 30
_ENTRY_BYTES = 512  # of the directory, with name and extra fields; 46 without
_TAIL_BYTES = 2**17  # where the directory's own record is looked for


class _Directory:
    """A file for `zipfile` to find its directory in."""

    def __init__(self, file: BinaryIO, most: int, error: type[Exception]) -> None:
        self.seek, self.tell, self.seekable = file.seek, file.tell, file.seekable
        self._file, self._most, self._error = file, most, error
        self.is_read = False

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes; while the directory is not read, not too many of them."""
        if self.is_read:
            return self._file.read(size)
        most = max(_TAIL_BYTES, _ENTRY_BYTES * self._most)
        if size > most:
            raise self._error(
                f"the archive's directory has {size} bytes, at most {most} for the "
                f"{self._most} entries that are accepted"
            )
        data = self._file.read(size)
        num_entries = data.count(_ENTRY) if data.startswith(_ENTRY) else 0
        if num_entries > self._most:
            raise self._error(f"the archive has {num_entries} entries, at most {self._most}")
        return data


def open_zip_file(file: BinaryIO, max_entries: int, error: type[Exception]) -> zipfile.ZipFile:
    """Return the zip in ``file``, of at most ``max_entries`` entries.

    Raises:
        error: It has more. What else is wrong is raised as `zipfile` raises it.
    """
    directory = _Directory(file, max_entries, error)
    archive = zipfile.ZipFile(directory)
    directory.is_read = True
    return archive


def find_overlap(infos: list[zipfile.ZipInfo], num_bytes: int) -> zipfile.ZipInfo | None:
    """Return an entry whose bytes another one uses, or that leaves the file; None is well."""
    end = 0
    for info in sorted(infos, key=lambda each: each.header_offset):
        if info.header_offset < end:
            return info
        end = info.header_offset + _LOCAL_HEADER_BYTES + len(info.filename) + info.compress_size
        if end > num_bytes:
            return info
    return None
