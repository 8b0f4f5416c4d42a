"""Addresses of files that the service fetches: https, and public objects of S3 and GCS."""

import re
from urllib.parse import quote, unquote, urlsplit

_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]")
_SCHEMES = ("https", "s3", "gs")


def https_url(url: str) -> str:
    """Return the https URL of a source.

    Objects of buckets are asked for without credentials, so they must be public: with the
    service's own, a user could read every bucket that the service can. A private object has a
    presigned https URL.

    Raises:
        ValueError: The scheme is not supported, the URL is malformed, or a bucket or key is
            missing.
    """
    scheme, mark, rest = url.partition("://")
    if not mark or scheme not in _SCHEMES:
        raise ValueError(f"{url[:64]!r} is not a URL of {', '.join(_SCHEMES)}")
    if scheme == "https":
        try:
            urlsplit(url)
        except ValueError as error:
            raise ValueError(f"{url[:64]!r} is malformed") from error
        return url
    bucket, _, key = rest.partition("/")
    if not _BUCKET.fullmatch(bucket) or not key:
        raise ValueError(f"{url[:64]!r} is not of the form {scheme}://BUCKET/KEY")
    path = quote(key, safe="/~")
    if scheme == "gs":
        return f"https://storage.googleapis.com/{bucket}/{path}"
    if "." in bucket or "_" in bucket:  # the certificate covers one label
        return f"https://s3.amazonaws.com/{bucket}/{path}"
    return f"https://{bucket}.s3.amazonaws.com/{path}"


def filename_of(url: str) -> str:
    """Return the name of the file in a well-formed URL; empty if it has none."""
    return unquote(urlsplit(url).path.rpartition("/")[2])
