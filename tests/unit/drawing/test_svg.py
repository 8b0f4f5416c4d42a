"""Elements are well formed whatever text they hold."""

from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.drawing.svg import coordinate, element, escape


@given(st.text())
def test_any_text_is_the_text_of_an_element_and_an_attribute(text: str) -> None:
    found = ET.fromstring(element("text", escape(text), aria_label=text))  # noqa: S314
    assert len(found) == 0, "no text becomes an element"
    assert set(found.attrib) == {"aria-label"}
    kept = "".join(c for c in text if c.isprintable())
    assert [c for c in found.text or "" if c in kept] == [c for c in text if c in kept]


def test_attributes_have_the_names_of_svg_and_may_be_left_out() -> None:
    assert element("path", class_="kept", text_anchor="end", d=None) == (
        '<path class="kept" text-anchor="end"/>'
    )


@pytest.mark.parametrize(("value", "text"), [(1.0, "1"), (1.25, "1.2"), (-0.5, "-0.5"), (3, "3")])
def test_a_coordinate_is_short(value: float, text: str) -> None:
    assert coordinate(value) == text
