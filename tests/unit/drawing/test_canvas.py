"""A picture has a title, a description, and colours for light and dark."""

from xml.etree import ElementTree as ET

from app.drawing.canvas import COLOURS, Canvas

_SVG = "{http://www.w3.org/2000/svg}"


def picture(title: str) -> ET.Element:
    canvas = Canvas("name", 100, 50, "What it shows", title)
    with canvas.moved(10, 20.25, "a part"):
        canvas.dot(1, 2, 3, "kept")
        canvas.area("M0 0H1V1Z", "gone")
    return ET.fromstring(canvas.svg())  # noqa: S314  # ours


def test_a_picture_is_titled_and_described() -> None:
    found = picture("A name")
    assert (found.attrib["role"], found.attrib["viewBox"]) == ("img", "0 0 100 50")
    assert found.findtext(f"{_SVG}title") == "A name"
    assert found.findtext(f"{_SVG}desc") == "What it shows"
    assert picture("").findtext(f"{_SVG}title") == "What it shows"


def test_a_part_is_moved_and_titled() -> None:
    part = picture("A name").find(f"{_SVG}g")
    assert part is not None
    assert part.attrib["transform"] == "translate(10 20.2)"
    assert [each.tag.removeprefix(_SVG) for each in part] == ["title", "circle", "path"]


def test_every_colour_is_given_for_light_and_for_dark() -> None:
    style = picture("A name").findtext(f"{_SVG}style") or ""
    light, _, dark = style.partition("prefers-color-scheme:dark")
    for name, (day, night) in COLOURS.items():
        assert f"--picture-{name}:{day};" in light
        assert f"--picture-{name}:{night};" in dark
