"""The Pareto picture shows every point, and describes them in text."""

import re
from typing import Any
from xml.etree import ElementTree as ET

from app.sweeps.picture import draw_pareto
from app.sweeps.schemas import SweepRow

_SVG = "{http://www.w3.org/2000/svg}"


def row(cost: float, value: float, name: str = "l1", **more: Any) -> SweepRow:
    return SweepRow.model_validate(
        {
            "job": name, "status": "succeeded", "point": {"/criterion/kind": name},
            "metric": "top1", "split": "test", "value": value, "macs_share": cost,
            "latency_share": cost, **more,
        }
    )  # fmt: skip


def drawn(*rows: SweepRow) -> ET.Element:
    return ET.fromstring(draw_pareto(rows))  # noqa: S314  # ours


def places(picture: ET.Element, colour: str) -> list[tuple[float, float]]:
    """Return the positions of a colour's discs, without the legend's."""
    found = [
        (float(each.attrib["cx"]), float(each.attrib["cy"]))
        for each in picture.iter(f"{_SVG}circle")
        if f"--picture-{colour})" in each.attrib["style"].split(";")[0]
    ]
    return found[1:]


def texts(picture: ET.Element) -> list[str]:
    return [each.text or "" for each in picture.iter(f"{_SVG}text")]


def test_points_are_where_their_numbers_are_and_the_front_is_a_line() -> None:
    front = {"is_pareto_macs": True}
    picture = drawn(row(0.3, 0.8, **front), row(0.6, 0.9, **front), row(0.6, 0.7))
    (x1, y1), (x2, y2) = places(picture, "accent")
    assert x1 < x2, "more MACs are farther right"
    assert y1 > y2, "better is higher"
    (x3, y3), *others = places(picture, "muted")
    assert (x3, len(others)) == (x2, 3), "and all three by latency, where none is of the front"
    assert y3 > y1
    paths = [each.attrib["d"] for each in picture.iter(f"{_SVG}path")]
    assert f"M{x1:g} {y1:g}L{x2:g} {y2:g}" in paths


def test_the_description_has_the_front_in_numbers() -> None:
    picture = drawn(row(0.3, 0.8, "taylor", is_pareto_macs=True), row(0.6, 0.7))
    words = picture.findtext(f"{_SVG}desc") or ""
    assert "2 jobs have a result" in words
    assert "by MACs, share of dense: top1 (test) 0.8 at 0.3 (taylor)" in words
    assert "by latency at batch 1, share of dense: none" in words
    assert "top1 (test)" in (picture.findtext(f"{_SVG}title") or "")


def test_intervals_and_the_dense_network_stay_inside() -> None:
    doubt = {"interval": (0.5, 0.95), "latency_interval": (0.2, 0.9), "dense_value": 0.97}
    text = draw_pareto([row(0.3, 0.8, **doubt)]).decode()
    assert "dense network" in text
    numbers = [float(y) for y in re.findall(r"L[\d.]+ ([\d.]+)\"", text)]
    assert all(0 <= y <= 440 for y in numbers)
    assert "dense network" not in draw_pareto([row(0.3, 0.8)]).decode()


def test_labels_are_texts_and_too_many_are_left_out() -> None:
    hostile = "<script>$x$</script>"
    assert hostile in texts(drawn(row(0.3, 0.8, hostile)))
    many = drawn(*(row(0.1 + k / 50, 0.8, "l1") for k in range(21)))
    assert "l1" not in texts(many)


def test_a_row_without_a_latency_is_in_one_panel() -> None:
    picture = drawn(row(0.3, 0.8, latency_share=None))
    assert len(places(picture, "muted")) == 1


def test_the_same_table_gives_the_same_bytes() -> None:
    rows = [row(0.3, 0.8), row(0.5, 0.9, is_pareto_macs=True)]
    assert draw_pareto(rows) == draw_pareto(rows)
