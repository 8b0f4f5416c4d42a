"""The report page: contents, safety, accessibility, size and determinism."""

import re
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import pytest
from pydantic import ValidationError

from app.contracts.report import Report
from tests.fixtures.pages import Element, every, read_page
from tests.fixtures.reports import (
    body,
    change,
    full_report,
    group,
    layer,
    least_report,
    network,
    resolved,
    speedup,
)
from worker.pipeline.report.page import render_page
from worker.pipeline.report.page.tables import not_default

HOSTILE = (
    "\"'></style></script><script>alert(1)</script><img src=x onerror=alert(2)>{{ 7 * 7 }}&amp;"
)
UNREADABLE = "a\x00b\x1b[31m\u202egnp.exe\ud800"
NOTES = {"notes", "serious", "notice"}  # above everything else, and in no list of sections
REPORTS: dict[str, Callable[[], Report]] = {
    "full": full_report,
    "least": least_report,
    "exact": lambda: full_report(equivalence=exact()),
    "steepness": lambda: full_report(config=resolved({}), accuracy_trials=[]),
    "ratio": lambda: full_report(
        config=resolved({"selection": {"mode": "ratio", "ratio": 0.5}}), accuracy_trials=[]
    ),
    "one epoch": lambda: full_report(history=body()["history"][:1], baselines=[]),
    "nothing but zeros": lambda: least_report(
        groups=[group(saliency=[0.0] * 16, threshold=0.0)],
        layers=[layer() | {"macs": [0, 0]}],
        dense=network(0.0, metrics=[], macs=0, latency_seconds=[]),
        retrained=network(0.0, metrics=[], macs=0, latency_seconds=[]),
    ),
}


def exact() -> dict[str, Any]:
    return body()["equivalence"] | {
        "is_exact": True, "inexact_ops": [], "inexact": [], "float64_max_relative_error": 3.7e-16,
    }  # fmt: skip


def page(report: Report) -> Element:
    return read_page(render_page(report))


def section(root: Element, name: str) -> Element:
    return next(s for s in root.all("section") if s.attributes["aria-labelledby"] == name)


def rows(table: Element) -> dict[str, list[str]]:
    return {
        row.all("th")[0].words(): [cell.words() for cell in row.all("td")]
        for row in table.all("tbody")[0].all("tr")
    }


def poisoned(text: str) -> Report:
    """Return a report with ``text`` in every free-text field."""
    found = body()
    selection = {"mode": "accuracy", "exclude": [text], "layers": {text: {"ratio": 0.5}}}
    found["config"] = resolved({"selection": selection})
    for name in ("versions", "criteria_agreement"):
        found[name] |= {text: found[name].popitem()[1]}
    for place, key in list(strings(found)):
        before = place[key]
        place[key] = text
        try:
            Report.model_validate(found)
        except ValidationError:
            place[key] = before  # one of a few words
    return Report.model_validate(found)


def strings(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield (container, key) of every text in a report, except its config."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value)
    for key, each in pairs:
        if isinstance(each, (dict, list)):
            if key != "config":
                yield from strings(each)
        elif isinstance(each, str) and key != "metric":  # the name of a field of ours
            yield value, key


@pytest.mark.parametrize("name", REPORTS)
def test_a_page_is_well_formed_and_the_same_every_time(name: str) -> None:
    report = REPORTS[name]()
    text = render_page(report)
    assert text.startswith("<!DOCTYPE html>\n<html lang=")
    read_page(text)
    assert render_page(Report.model_validate_json(report.model_dump_json())) == text
    shown = text.split("</style>")[1].replace("run(None,", "")
    assert not re.search(r"\b(nan|None|Undefined|inf)\b", shown)


@pytest.mark.parametrize("name", REPORTS)
def test_a_page_is_accessible(name: str) -> None:
    root = page(REPORTS[name]())
    elements = every(root)
    ids = [e.attributes["id"] for e in elements if "id" in e.attributes]
    assert len(ids) == len(set(ids))
    for element in elements:
        assert element.attributes.get("aria-labelledby", ids[0] if ids else "") in ids
        assert element.attributes.get("href", "#") == "#" or element.attributes["href"][1:] in ids
        if element.tag == "svg":
            is_named = element.attributes.get("role") == "img" and element.attributes["aria-label"]
            assert is_named or element.attributes.get("aria-hidden") == "true"
        if element.tag == "th":
            assert element.attributes["scope"] in {"row", "col"}
        if "scroll" in element.attributes.get("class", ""):
            assert element.attributes["tabindex"] == "0"
            assert element.attributes["aria-label"]
    levels = [int(e.tag[1]) for e in elements if e.tag in {"h1", "h2", "h3"}]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    links = {e.attributes["href"][1:] for e in root.all("nav")[0].all("a")}
    assert links == {s.attributes["aria-labelledby"] for s in root.all("section")} - NOTES
    for table in root.all("table"):
        widths = {len(row.all("th")) + len(row.all("td")) for row in table.all("tr")}
        assert len(widths) == 1, "a row is shorter than the others"


@pytest.mark.parametrize("text", [HOSTILE, UNREADABLE])
def test_nothing_in_a_report_becomes_a_part_of_the_page(text: str) -> None:
    if "\ud800" in text:
        with pytest.raises(ValidationError):
            poisoned(text)
        text = text.replace("\ud800", "")
    clean, found = page(full_report()), page(poisoned(text))
    allowed = {element.tag for element in every(clean)}
    assert {element.tag for element in every(found)} <= allowed
    assert not {"script", "img", "iframe", "object", "link", "base", "form"} & allowed
    for element in every(found):
        for name, value in element.attributes.items():
            assert not name.startswith("on"), name
            assert name != "href" or value.startswith("#")
            assert name not in {"src", "srcset", "xlink:href", "action", "style"}
    shown = found.words()
    if text == HOSTILE:
        assert HOSTILE in shown
        assert "49" not in section(found, "data").words().split()
    else:
        assert not set("\x00\x1b\u202e") & set(render_page(poisoned(text)))
        assert "a\ufffdb\ufffd[31m\ufffdgnp.exe" in shown


def test_a_page_makes_no_requests_and_runs_no_scripts() -> None:
    text = render_page(full_report())
    metas = read_page(text).all("meta")
    policies = [m for m in metas if m.attributes.get("http-equiv") == "Content-Security-Policy"]
    assert policies[0].attributes["content"] == (
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    )
    assert text.index("Content-Security-Policy") < text.index("<style>")
    for sign in ("http://", "https://", "//", "url(", "@import", "<script", "javascript:"):
        assert sign not in text.replace(" // ", ""), sign


def test_the_page_shows_no_durations_except_latencies() -> None:
    quick, slow = full_report(), body()
    slow["stage_seconds"] = {"retrain": 99_999.0}
    slow["history"] = [epoch | {"seconds": 777.0} for epoch in slow["history"]]
    assert render_page(Report.model_validate(slow)) == render_page(quick)
    slow["retrained"]["latency_seconds"][0]["p95"] *= 2
    assert render_page(Report.model_validate(slow)) != render_page(quick)


def test_the_verdict_summarises_the_result() -> None:
    root = page(full_report())
    lead = next(p for p in root.all("p") if p.attributes.get("class") == "lead").words()
    assert lead == (
        "The pruned network has 50 % of the multiply-accumulates and 24 % of the parameters of the "
        "dense one. It is 1.6x (1.5 to 1.8) as fast at batch size 1. Accuracy on 400 test samples "
        "is 91.00 % instead of 93.00 %: 2.00 points less."
    )
    tiles = {t.all("dt")[0].words(): t.all("dd")[0].words() for t in root.all("dl")[0].all("div")}
    assert tiles["Accuracy"] == (
        "91.00 % dense 93.00 %: \N{MINUS SIGN}2.00 points (\N{MINUS SIGN}3.50 to "
        "\N{MINUS SIGN}0.50); 95 % interval 88.0 to 93.0 %"
    )
    assert tiles["Latency, batch 1"] == (
        "0.500 ms 1.6x (1.5 to 1.8); dense 0.800 ms; 95th percentile 0.625 ms, dense 1.00 ms"
    )
    assert tiles["Parameters"] == "64.0 k 24 % of the dense 270 k"
    assert tiles["ONNX file"] == "277 kB 25 % of the dense 1.11 MB"
    assert tiles["Equivalence"].startswith("inexact")
    found = page(least_report())
    assert "nothing is known about its predictions" in found.words()
    assert "There was no data set" in section(found, "data").words()


def test_every_number_of_before_and_after_is_in_its_place() -> None:
    tables = section(page(full_report()), "result").all("table")
    costs, test, validation = (rows(table) for table in tables)
    assert costs["Multiply-accumulates of one sample"] == ["31,000,000", "15,500,000", "50.0 %"]
    assert costs["Latency, batch 8, 1 thread: median"] == [
        "6.10 ms", "3.90 ms", "no measurable difference",
    ]  # fmt: skip
    assert costs["95th percentile, batch 8"] == ["7.63 ms", "4.88 ms", ""]
    columns = [th.words() for th in tables[1].all("thead")[0].all("th")]
    assert columns == [
        "On 400 test samples", "dense", "pruned", "recalibrated", "repaired", "retrained",
        "random pruning", "from scratch", "as served",
    ]  # fmt: skip
    assert test["Accuracy"] == [
        "93.00 %", "10.00 %", "30.00 %", "88.00 %", "91.00 %", "85.00 %", "85.00 %", "91.00 %",
    ]  # fmt: skip
    assert validation["Accuracy"][2] == "\N{EN DASH}", "it was not measured there"
    assert test["Accuracy, 95 % interval"][4] == "88.0 to 93.0 %"
    assert test["Difference from dense, 95 % interval"][:2] == [
        "\N{EN DASH}", "\N{MINUS SIGN}84.50 to \N{MINUS SIGN}81.50",
    ]  # fmt: skip
    assert "The machine was not busy" in section(page(full_report()), "result").words()


def test_differences_that_may_be_chance_are_marked() -> None:
    found = body()
    found["retrained"]["metrics"][1]["change"] = change(0.002)
    found["retrained"]["metrics"][1]["top1"] = 0.932
    found["speedups"] = [speedup(1, 1.05), speedup(8, 1.6)]
    found["load"] = {"is_busy": True, "reason": "all was busy", "num_busy_processors": 2.0}
    root = page(Report.model_validate(found))
    lead = next(p for p in root.all("p") if p.attributes.get("class") == "lead").words()
    assert "Its latency at batch size 1 differs by no more than chance." in lead
    assert lead.endswith("93.20 % instead of 93.00 %: no measurable difference on so many samples.")
    result = section(root, "result")
    assert "Measured under load: all was busy." in result.words()
    test = rows(result.all("table")[1])
    assert test["Difference from dense, 95 % interval"][4].endswith(", none")


def test_a_report_of_an_older_release_is_shown_without_intervals() -> None:
    found = body() | {"speedups": [], "load": None}
    for name in ("dense", "pruned", "retrained"):
        for measured in found[name]["metrics"]:
            measured.update(interval=None, change=None)
    root = page(Report.model_validate(found))
    assert "1.6x, uncertainty unknown" in section(root, "result").words()
    assert "It is unknown" in section(root, "result").words()


def test_trials_are_shown_with_their_outcome() -> None:
    found = section(page(full_report()), "tried")
    criteria, ranks, trials, latencies = (rows(table) for table in found.all("table"))
    assert criteria["l2, used"][:3] == ["1.500", "0.4000 (0.350 to 0.450)", "50.0 %"]
    assert criteria["random"][:2] == ["not finite", "\N{EN DASH}"]
    assert list(ranks) == ["l1", "random"]
    assert trials["1"] == [
        "trained",
        "50.0 %",
        "50.0 %",
        "40.0 %",
        "1.00 (\N{MINUS SIGN}0.500 to 2.50)",
        "kept",
    ]
    assert trials["2"][:1] + trials["2"][4:] == ["not trained", "13.0", "broken"]
    assert trials["3"][4:] == ["diverged", "broken"]
    assert latencies["1"] == ["50.0 %", "61.0 %", "fp32"]
    assert not [s for s in page(least_report()).all("section") if "tried" in s.attributes.values()]


def test_the_proof_separates_exact_and_inexact_families() -> None:
    inexact = section(page(full_report()), "proof").words()
    assert "pass through layer_norm" in inexact
    assert "to within 3.0 \N{MULTIPLICATION SIGN} 10⁻¹⁶" in inexact
    found = section(page(full_report(equivalence=exact())), "proof")
    assert found.words().startswith("The proof The smaller network computes what it should")
    assert "3.7 \N{MULTIPLICATION SIGN} 10⁻¹⁶" in found.words()
    assert not found.all("table")


def test_the_page_tells_how_to_reproduce_and_use_the_result() -> None:
    root = page(full_report())
    again = section(root, "again").words()
    for expected in ("a" * 64, "torch 2.14.1", "selection.max_drop 0.02", "Seed: 7."):
        assert expected in again
    assert "selection.round_to" in again
    assert "retrain.optimizer.kind" not in section(root, "again").all("dl")[0].words()
    use = section(root, "use").words()
    assert "x: float32, batch \N{MULTIPLICATION SIGN} 1" in use
    assert "someone" not in root.words(), "paths of the user's machine are nobody's business"


def test_only_config_values_that_differ_from_the_default_are_shown() -> None:
    assert not_default(resolved({})) == []
    budget = {"mode": "budget", "macs": 0.5, "layers": {"conv*": {"ratio": 0.25}}}
    config = resolved({"selection": budget, "retrain": {"augment": {"flip": True}}})
    assert not_default(config) == [
        ("selection.layers", "conv*: ratio 0.25"),
        ("selection.mode", "budget"),
        ("selection.macs", "0.5"),
        ("retrain.augment.flip", "true"),
    ]


def test_a_network_of_a_hundred_layers_makes_a_small_page() -> None:
    wide = [group(f"features.{k}.conv.weight", 512) for k in range(100)]
    layers = [layer(f"features.{k}.conv.weight", 512, 256) for k in range(100)]
    text = render_page(full_report(groups=wide, layers=layers))
    assert len(text.encode()) < 300_000
    assert text.count('class="panel"') == 100
    many = [group(f"features.{k}.conv.weight") for k in range(1000)]
    text = render_page(full_report(groups=many))
    assert text.count('class="panel"') == 240
    assert "the other 760 are in report.json" in text


def test_doubts_about_the_result_are_on_top_and_in_red() -> None:
    root = page(full_report())
    [first, second, *_] = root.all("main")[0].all("section")
    assert "serious" in first.attributes["class"].split()
    assert "Do not trust this result" in first.words()
    assert "Inputs are far." in first.words()
    assert "New statistics." in second.words()
    shown = root.words()
    assert "epoch 3 has the best top1 on 400 validation samples" in shown
    assert "3 epochs of 8 steps by the time limit" in shown
    assert not [s for s in page(least_report()).all("section")
                if "serious" in s.attributes.get("class", "")]  # fmt: skip
