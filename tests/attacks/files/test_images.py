"""Hostile images, zips and tars."""

import gzip
import io
import struct
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.attacks.files.payloads import expression, pickle
from tests.attacks.files.pictures import animated, chunk, jpeg, painted, png, png_of, saved, tiff
from tests.attacks.files.reading import READ, Case, Cases, ReadingChild, check
from tests.attacks.files.zips import Entry, deflated, written, zip64

ZIPS, TARS = Cases("zip"), Cases("tar")
UNDECODED = "cannot be decoded"
DEVICES = (tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE)


def zipped(*images: bytes, name: str = "cat/{}.png") -> bytes:
    return written([Entry(name.format(i).encode(), data) for i, data in enumerate(images)])


def info(name: str, type_: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    found = tarfile.TarInfo(name)
    found.type, found.linkname = type_, link
    return found


def tarred(*members: tarfile.TarInfo | tuple[str, bytes], **options: object) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", **options) as archive:  # type: ignore[call-overload]
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                archive.addfile(member)
            else:
                found = info(member[0])
                found.size = len(member[1])
                archive.addfile(found, io.BytesIO(member[1]))
    return buffer.getvalue()


# Images.


@ZIPS.refused("too_large", "has 5001x5000 pixels, at most 25000000")
def a_picture_of_more_pixels_than_memory_has(_marker: Path) -> bytes:
    return zipped(png_of(5001, 5000, b""))


@ZIPS.refused("too_large", "pixels, at most 25000000")
def a_picture_that_says_it_is_a_million_wide(_marker: Path) -> bytes:
    return zipped(png_of(2**31 - 1, 2**31 - 1, b""))


@ZIPS.refused("data_error", UNDECODED)
def a_picture_without_any_width(_marker: Path) -> bytes:
    return zipped(png_of(0, 4, b""))


@ZIPS.harmless
def pixels_that_inflate_to_more_than_the_picture(_marker: Path) -> bytes:
    """Pillow stops at the picture's end."""
    return zipped(png_of(4, 4, bytes(2**24)))


@ZIPS.refused("data_error", UNDECODED)
def a_comment_that_inflates_to_a_gigabyte(_marker: Path) -> bytes:
    text = b"Comment\0\0" + zlib.compress(bytes(2**26), 9)
    return zipped(png_of(4, 4, bytes(20), chunk(b"zTXt", text)))


@ZIPS.refused("data_error", UNDECODED)
def a_colour_profile_that_inflates_without_end(_marker: Path) -> bytes:
    profile = b"icc\0\0" + zlib.compress(bytes(2**26), 9)
    return zipped(png_of(4, 4, bytes(20), chunk(b"iCCP", profile)))


@ZIPS.refused("data_error", UNDECODED)
def a_picture_cut_in_the_middle(_marker: Path) -> bytes:
    whole = png((64, 64), "RGB")
    return zipped(whole[: len(whole) // 2])


@ZIPS.harmless
def a_chunk_of_negative_length(_marker: Path) -> bytes:
    return zipped(png()[:33] + b"\xff\xff\xff\xffIDAT" + png()[41:])


@ZIPS.refused("data_error", "has more than 100 scans")
def a_picture_that_is_painted_ten_thousand_times(_marker: Path) -> bytes:
    """Every scan costs a pass over 25 million pixels; all of them would take three minutes."""
    return zipped(painted(10_000, (5000, 5000)), name="cat/{}.jpg")


@ZIPS.refused("data_error", UNDECODED)
def three_million_comments_between_pixels(_marker: Path) -> bytes:
    """Pillow copies the rest of the block at each one, which took a minute."""
    return zipped(b"P3 4000 4000 255\n" + b"#\n" * 3_000_000, name="cat/{}.ppm")


@ZIPS.refused("data_error", UNDECODED)
def texts_that_inflate_to_a_megabyte_each(_marker: Path) -> bytes:
    text = b"\0\0" + zlib.compress(bytes(2**20 - 2), 9)
    return zipped(png_of(4, 4, bytes(20), *[chunk(b"zTXt", b"a" + text)] * 200))


@ZIPS.refused("data_error", UNDECODED)
def an_interlaced_picture_without_its_pixels(_marker: Path) -> bytes:
    head = struct.pack(">IIBBBBB", 5000, 5000, 8, 0, 0, 0, 1)
    parts = [chunk(b"IHDR", head), chunk(b"IDAT", zlib.compress(bytes(1000))), chunk(b"IEND", b"")]
    return zipped(b"\x89PNG\r\n\x1a\n" + b"".join(parts))


@ZIPS.harmless
def exif_directories_that_point_at_each_other(_marker: Path) -> bytes:
    links = (0x8769, 0x8825, 0xA005)
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, 8) for tag in links)
    exif = b"Exif\0\0II*\0" + struct.pack("<IH", 8, len(links)) + entries + struct.pack("<I", 8)
    return zipped(jpeg(exif), name="cat/{}.jpg")


@ZIPS.refused("data_error", "is animated; only single images are accepted")
def a_film_in_png(_marker: Path) -> bytes:
    return zipped(animated("PNG"))


@ZIPS.refused("data_error", "is animated; only single images are accepted")
def a_film_in_webp(_marker: Path) -> bytes:
    return zipped(animated("WEBP"), name="cat/{}.webp")


@ZIPS.refused("data_error", UNDECODED)
def a_format_that_runs_other_programs(_marker: Path) -> bytes:
    """Pillow would run Ghostscript for Encapsulated PostScript; the decoder refuses it first."""
    return zipped(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n")


@ZIPS.refused("data_error", UNDECODED)
def formats_that_are_not_photographs(_marker: Path) -> bytes:
    return zipped(saved("PCX"))


@ZIPS.harmless
def a_gif_that_calls_itself_png(_marker: Path) -> bytes:
    """The content decides, not the name: it is decoded as GIF."""
    return zipped(saved("GIF"))


@ZIPS.harmless
def a_tiff_whose_directory_points_at_itself(_marker: Path) -> bytes:
    return zipped(tiff(width=4, next_directory=8))


@ZIPS.refused("too_large", "pixels, at most 25000000")
def a_tiff_that_says_it_is_larger_than_memory(_marker: Path) -> bytes:
    return zipped(tiff(width=9000, height=9000))


@ZIPS.refused("data_error", UNDECODED)
def a_tiff_whose_pixels_lie_behind_its_end(_marker: Path) -> bytes:
    return zipped(tiff(width=4, pixels_at=2**31))


@ZIPS.refused("data_error", UNDECODED)
def a_portable_map_that_is_shorter_than_it_says(_marker: Path) -> bytes:
    return zipped(b"P6 4000 4000 255\n" + bytes(10))


@ZIPS.refused("data_error", UNDECODED)
def a_drawing_with_entities_in_its_xml(_marker: Path) -> bytes:
    return zipped(b'<?xml version="1.0"?><!DOCTYPE svg [<!ENTITY a SYSTEM "file:///etc/passwd">]>')


@ZIPS.refused("data_error", UNDECODED)
def a_pickle_that_calls_itself_png(marker: Path) -> bytes:
    return zipped(pickle(marker))


@ZIPS.harmless
def a_picture_that_is_a_zip_as_well(marker: Path) -> bytes:
    return zipped(png() + written([Entry(b"__main__.py", expression(marker).encode())]))


@ZIPS.harmless
def exif_that_points_at_itself(_marker: Path) -> bytes:
    loop = struct.pack("<HHIHHIII", 1, 0x8769, 8, 1, 0, 8, 8, 8)
    return zipped(jpeg(b"Exif\0\0II*\0\x08\0\0\0" + loop), name="cat/{}.jpg")


@ZIPS.harmless
def exif_that_is_a_pickle(marker: Path) -> bytes:
    return zipped(jpeg(b"Exif\0\0" + pickle(marker)), name="cat/{}.jpg")


@ZIPS.harmless
def sixteen_bits_a_pixel(_marker: Path) -> bytes:
    return zipped(png_of(4, 4, bytes(36), depth=16))


# Zips.


@ZIPS.refused("data_error", "has a name that is not accepted")
def a_name_that_climbs(_marker: Path) -> bytes:
    return zipped(png(), name="cat/../../../{}.png")


@ZIPS.refused("data_error", "has a name that is not accepted")
def a_name_from_the_root(_marker: Path) -> bytes:
    return zipped(png(), name="/cat/{}.png")


@ZIPS.refused("data_error", "has a name that is not accepted")
def a_name_with_a_drive(_marker: Path) -> bytes:
    return zipped(png(), name="C:/cat/{}.png")


@ZIPS.refused("data_error", "has a name that is not accepted")
def a_name_with_backslashes(_marker: Path) -> bytes:
    return zipped(png(), name="cat\\..\\..\\{}.png")


@ZIPS.refused("data_error", "has a name that is not accepted")
def a_name_with_a_line_break(_marker: Path) -> bytes:
    return zipped(png(), name="cat\n/{}.png")


@ZIPS.refused("data_error", "is not an image")
def a_name_that_ends_early(_marker: Path) -> bytes:
    """`zipfile` cuts names at a NUL; the rest is not the name of an image."""
    return zipped(png(), name="cat/{}.exe\0.png")


@ZIPS.refused("data_error", "is a link")
def a_link_in_a_zip(_marker: Path) -> bytes:
    return written([Entry(b"cat/1.png", b"/etc/passwd", mode=0o120777)])


@ZIPS.refused("data_error", "of the zip overlaps another")
def pictures_that_share_their_bytes(_marker: Path) -> bytes:
    data = png()
    twin = Entry(b"cat/2.png", offset=0, size=len(data), packed_size=len(data),
                 crc=zlib.crc32(data), local_name=b"cat/1.png")  # fmt: skip
    return written([Entry(b"cat/1.png", data), twin])


@ZIPS.refused("data_error", "or the end of the file")
def a_picture_behind_the_end(_marker: Path) -> bytes:
    found = Entry(b"cat/1.png", png(), size=0xFFFFFFFF, packed_size=0xFFFFFFFF)
    found.extra = zip64(100, 2**40)
    return written([found])


@ZIPS.refused("too_large", "is 16777216 bytes, at most")
def a_picture_of_zeros(_marker: Path) -> bytes:
    return written([deflated(b"cat/1.png", bytes(2**24))])


@ZIPS.refused("too_large", "is 17179869184 bytes, at most")
def a_picture_of_gigabytes(_marker: Path) -> bytes:
    found = Entry(b"cat/1.png", png(), size=0xFFFFFFFF)
    found.extra = struct.pack("<HHQ", 1, 8, 2**34)
    return written([found])


@ZIPS.refused("data_error", "not a zip file, or a damaged one")
def a_picture_of_another_checksum(_marker: Path) -> bytes:
    return written([Entry(b"cat/1.png", png(), crc=1)])


@ZIPS.refused("data_error", "not a zip file, or a damaged one")
def a_local_header_of_another_name(_marker: Path) -> bytes:
    return written([Entry(b"cat/1.png", png(), local_name=b"dog/1.png")])


@ZIPS.refused("data_error", "unsupported compression method")
def a_compression_that_is_not_deflate(_marker: Path) -> bytes:
    return written([Entry(b"cat/1.png", png(), method=93)])


@ZIPS.refused("data_error", "is not an image")
def a_zip_in_a_zip(_marker: Path) -> bytes:
    return written([Entry(b"cat/inner.zip", written([Entry(b"cat/1.png", png())]))])


@ZIPS.harmless
def a_script_in_front_of_a_zip(_marker: Path) -> bytes:
    """Only entries of the directory are read; the API refuses the file at upload."""
    return written([Entry(b"cat/1.png", png())], prefix=b"#!/bin/sh\nexit\n")


@ZIPS.refused("too_large", "the archive has 2001 entries, at most 2000", dataset_members=2000)
def entries_that_are_only_folders(_marker: Path) -> bytes:
    return written([Entry(f"{i}/".encode()) for i in range(2001)])


@ZIPS.refused("data_error", "the zip holds no image")
def nothing_but_hidden_files(_marker: Path) -> bytes:
    return written([Entry(b"__MACOSX/cat/._1.png", png()), Entry(b"cat/.DS_Store")])


# Tars.


@TARS.refused("data_error", "is a link")
def a_link_and_a_picture_written_through_it(_marker: Path) -> bytes:
    return tarred(info("cat", tarfile.SYMTYPE, "/tmp"), ("cat/1.png", png()))  # noqa: S108  # hostile


@TARS.refused("data_error", "is a link")
def a_hard_link_to_the_passwords(_marker: Path) -> bytes:
    return tarred(info("cat/1.png", tarfile.LNKTYPE, "/etc/passwd"))


@TARS.refused("data_error", "has a name that is not accepted")
def a_picture_above_the_folder(_marker: Path) -> bytes:
    return tarred(("../../cat/1.png", png()))


@TARS.refused("data_error", "has a name that is not accepted")
def a_picture_at_the_root(_marker: Path) -> bytes:
    return tarred(("/cat/1.png", png()))


@TARS.refused("data_error", "a device, a pipe or a sparse file")
def a_sparse_file_of_a_terabyte(_marker: Path) -> bytes:
    found = info("cat/1.png")
    found.pax_headers = {
        "GNU.sparse.major": "0",
        "GNU.sparse.minor": "1",
        "GNU.sparse.name": "cat/1.png",
        "GNU.sparse.size": str(2**40),
        "GNU.sparse.map": f"{2**40},0",
    }
    return tarred(found, format=tarfile.PAX_FORMAT)


@TARS.refused("data_error", "has a name that is not accepted")
def a_pax_header_that_moves_a_picture(_marker: Path) -> bytes:
    found = info("cat/1.png")
    found.pax_headers = {"path": "/etc/cron.d/1.png"}
    return tarred(found, format=tarfile.PAX_FORMAT)


@TARS.refused("too_large", "is 9223372036854775807 bytes, at most")
def a_pax_header_with_a_size_of_its_own(_marker: Path) -> bytes:
    found = info("cat/1.png")
    found.pax_headers = {"size": str(2**63 - 1)}
    return tarred(found, format=tarfile.PAX_FORMAT)


@TARS.refused("data_error", "a tar file, or a damaged one")
def headers_of_headers_of_headers(_marker: Path) -> bytes:
    buffer = io.BytesIO()
    for _ in range(2000):
        found = info("././@LongLink", tarfile.GNUTYPE_LONGNAME)
        found.size = 10
        buffer.write(found.tobuf(tarfile.GNU_FORMAT) + b"cat/1.png\0".ljust(512, b"\0"))
    return buffer.getvalue()


@TARS.refused("too_large", "inflates to more than 104857600 bytes")
def a_gzip_of_zeros(_marker: Path) -> bytes:
    return gzip.compress(bytes(101 * 2**20), 9)


@TARS.refused("too_large", "the tar has 2001 files, at most 2000", dataset_members=2000)
def folders_without_end(_marker: Path) -> bytes:
    return tarred(*[info(f"{i}", tarfile.DIRTYPE) for i in range(2001)])


@TARS.refused("data_error", "a tar file, or a damaged one")
def a_gzip_in_a_gzip(_marker: Path) -> bytes:
    return gzip.compress(gzip.compress(tarred(("cat/1.png", png()))))


@pytest.mark.parametrize("type_", DEVICES, ids=["character", "block", "pipe"])
def test_a_device_in_a_tar_is_refused(type_: bytes, child: ReadingChild, tmp_path: Path) -> None:
    case = Case(lambda _marker: tarred(info("cat/1.png", type_)), "data_error", "a device", {}, {})
    check(case, "tar", child, tmp_path)


ALL = [(case, cases.format) for cases in (ZIPS, TARS) for case in cases.found]


@pytest.mark.parametrize(
    ("case", "format_"), ALL, ids=[f"{format_}: {case.sentence}" for case, format_ in ALL]
)
def test_a_hostile_archive_of_images_is_refused(
    case: Case, format_: str, child: ReadingChild, tmp_path: Path
) -> None:
    check(case, format_, child, tmp_path)


def two_in_a_zip() -> bytes:
    return written([Entry(b"cat/1.png", png()), Entry(b"dog/2.png", png())])


def two_in_a_tar() -> bytes:
    return tarred(("cat/1.png", png()), ("dog/2.png", png()))


BYTES = len(png())
LONG = png_of(4, 4, bytes(20), chunk(b"teXt", bytes(50_000)))
RATIO = -(-len(LONG) // max(1024, len(deflated(b"", LONG).data)))
# Of each limit: format, file, the smallest limit that lets it through, what is said one below.
LIMITS: list[tuple[str, str, Callable[[], bytes], int, str]] = [
    ("dataset_members", "zip", two_in_a_zip, 2, "the archive has 2 entries, at most 1"),
    ("dataset_members", "tar", two_in_a_tar, 2, "the tar has 2 files, at most 1"),
    ("unpacked_bytes", "zip", two_in_a_zip, 2 * BYTES, f"the zip holds {2 * BYTES} bytes"),
    ("unpacked_bytes", "tar", two_in_a_tar, 2 * BYTES, f"the tar holds {2 * BYTES} bytes"),
    ("image_file_bytes", "zip", two_in_a_zip, BYTES, f"is {BYTES} bytes, at most {BYTES - 1}"),
    ("image_file_bytes", "tar", two_in_a_tar, BYTES, f"is {BYTES} bytes, at most {BYTES - 1}"),
    ("image_pixels", "zip", two_in_a_zip, 16, "has 4x4 pixels, at most 15"),
    ("samples", "zip", two_in_a_zip, 2, "1 images are accepted"),
    ("sample_values", "zip", two_in_a_zip, 16, "have 16 values each, at most 15"),
    ("classes", "zip", two_in_a_zip, 2, "0 to 0 are accepted"),
    ("label_values", "zip", two_in_a_zip, 2, "there are 2 labels, at most 1"),
    ("inflate_ratio", "zip", lambda: written([deflated(b"a/1.png", LONG)]), RATIO,
     f"is {len(LONG)} bytes, at most {(RATIO - 1) * 1024}"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "format_", "make", "value", "words"), LIMITS, ids=[f"{c[1]} {c[0]}" for c in LIMITS]
)
def test_images_at_a_limit_are_read_and_past_it_are_refused(  # a row
    name: str,
    format_: str,
    make: Callable[[], bytes],
    value: int,
    words: str,
    child: ReadingChild,
) -> None:
    at = child.read(make(), format_, {name: value})
    assert at.code == READ, at
    past = child.read(make(), format_, {name: value - 1})
    assert (past.code, words in past.message) == ("too_large", True), past
