"""Errors of a full disk."""

import errno

_FULL = (errno.ENOSPC, errno.EDQUOT)


def is_disk_full(error: Exception) -> bool:
    """Return whether an error means that the disk, or the user's share, is full."""
    return isinstance(error, OSError) and error.errno in _FULL
