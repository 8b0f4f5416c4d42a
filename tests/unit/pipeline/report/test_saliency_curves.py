"""`saliency_curves.svg`: one panel per layer, the removed filters, and a text alternative."""

from xml.etree import ElementTree as ET

from app.contracts.report import GroupReport
from tests.fixtures.reports import full_report
from worker.pipeline.report.saliency_curves import draw_saliency_curves

_SVG = "{http://www.w3.org/2000/svg}"


def drawn(*groups: GroupReport) -> ET.Element:
    return ET.fromstring(draw_saliency_curves(groups))  # noqa: S314  # ours


def panels(picture: ET.Element) -> list[ET.Element]:
    return picture.findall(f"{_SVG}g")


def colours(panel: ET.Element) -> list[str]:
    return [each.attrib["style"] for each in panel.iter(f"{_SVG}path")]


def test_every_layer_has_a_panel_with_its_name_and_widths() -> None:
    report = full_report()
    picture = drawn(*report.groups)
    assert len(panels(picture)) == len(report.groups)
    for panel, found in zip(panels(picture), report.groups, strict=True):
        texts = [each.text or "" for each in panel.iter(f"{_SVG}text")]
        assert f"{found.num_groups} → {found.num_kept}" in texts
        name = found.name.removesuffix(".weight")
        assert (panel.findtext(f"{_SVG}title") or "").startswith(f"{name}: saliency from")


def test_removed_filters_are_coloured_if_there_are_any() -> None:
    cut = next(g for g in full_report().groups if 0 < g.num_kept < g.num_groups)
    whole = cut.model_copy(update={"num_kept": cut.num_groups, "threshold": None})
    some, none = (panels(drawn(each))[0] for each in (cut, whole))
    assert any("gone" in colour for colour in colours(some))
    assert not any("gone" in colour for colour in colours(none))
    assert any("kept" in colour for colour in colours(none))


def test_the_description_counts_the_removed_filters() -> None:
    groups = full_report().groups
    words = drawn(*groups).findtext(f"{_SVG}desc") or ""
    removed = sum(g.num_groups - g.num_kept for g in groups)
    assert f"the {removed} of least saliency" in words


def test_names_of_strangers_stay_text_and_long_ones_are_cut() -> None:
    first = full_report().groups[0]
    hostile = first.model_copy(update={"name": "a.<script>b\x00</script>" + "x" * 40 + ".weight"})
    [panel] = panels(drawn(hostile))
    assert "script" not in {each.tag for each in panel.iter()}
    shown = next(each.text or "" for each in panel.iter(f"{_SVG}text"))
    assert shown == "…" + "x" * 19


def test_the_same_report_gives_the_same_text_and_no_layers_give_a_picture() -> None:
    groups = full_report().groups
    assert draw_saliency_curves(groups) == draw_saliency_curves(groups)
    assert panels(drawn()) == []
