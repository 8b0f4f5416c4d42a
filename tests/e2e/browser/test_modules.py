"""Unit tests of the dashboard's JavaScript modules, run in the browser."""

import base64
import io
import json
from collections.abc import Iterator
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import Page

from app.contracts.spec import PreprocessSpec, PruneConfig
from app.web.assets import load_assets
from tests.e2e.browser.conftest import OpenTab
from tests.fixtures.browser import Tab
from tests.fixtures.files import FILES
from tests.fixtures.serving import serving

CONFIGS: tuple[dict[str, Any], ...] = (
    {},
    {"seed": 7},
    {"baselines": True},
    {"criterion": {"kind": "taylor", "num_samples": 64, "compare": True}},
    {"criterion": {"kind": "auto", "candidates": ["l1", "lamp"]}},
    {"selection": {"steepness": 2.5, "exclude": ["fc*", "conv1.*"]}},
    {"selection": {"mode": "ratio", "ratio": 0.25, "scope": "global"}},
    {"selection": {"mode": "budget", "latency": 0.6, "round_to": "auto", "batch_size": 8}},
    {"selection": {"mode": "accuracy", "max_drop": 0.02, "unit": "params"}},
    {"selection": {"layers": {"conv1*": {"ratio": 0.5}, "fc*": {"min_channels": 8}}}},
    {
        "selection": {"mode": "ratio", "ratio": 0.5},
        "schedule": {"kind": "iterative", "rounds": 6},
    },
    {
        "retrain": {
            "objective": "distill", "epochs": 9, "ema": 0.99, "patience": 2,
            "optimizer": {"kind": "adamw", "learning_rate": 0.001, "clip_norm": 1.0},
            "augment": {"crop": 2, "flip": True}, "distill": {"temperature": 4.0},
        }
    },
    {"task": "detection", "head": {"kind": "yolox", "score": 0.5}},
    {"export": {"formats": ["onnx"]}, "split": {"validation": 0.2, "seed": 3}},
)  # fmt: skip


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory, open_tab: OpenTab) -> Iterator[Tab]:
    with (
        serving(tmp_path_factory.mktemp("modules") / "data") as api,
        open_tab(f"http://{api.address}", expected=("401",)) as found,
    ):
        yield found


@pytest.fixture
def page(tab: Tab) -> Page:
    """The dashboard, loaded anew: modules and globals are those of one test."""
    tab.page.goto(tab.base)
    return tab.page


def run(page: Page, module: str, body: str, argument: Any = None) -> Any:
    """Run JavaScript with a module as ``m`` and an argument as ``a``; return its result."""
    path = f"/static/{load_assets().digest}/{module}"
    return page.evaluate(f"async (a) => {{ const m = await import('{path}'); {body} }}", argument)


def test_events_are_parsed_from_chunks_of_any_size(page: Page) -> None:
    stream = (
        "id: 1\nevent: job.queued\ndata: {}\n\n: a comment\n\n"
        "id: 2\r\nevent: metric\r\ndata: one\r\ndata: two\r\n\r\n"
        "event: nothing\n\ndata:no space\n\nid: 9\ndata: unfinished"
    )
    body = """
        const found = [];
        for (let size = 1; size < 9; size += 1) {
            const parser = new m.EventParser();
            const events = [];
            for (let k = 0; k < a.length; k += size) {
                events.push(...parser.take(a.slice(k, k + size)));
            }
            found.push(JSON.stringify(events));
        }
        return [...new Set(found)];
    """
    (only,) = run(page, "events.js", body, stream)
    assert json.loads(only) == [
        {"id": "1", "type": "job.queued", "data": "{}"},
        {"id": "2", "type": "metric", "data": "one\ntwo"},
        {"id": "2", "type": "message", "data": "no space"},
    ]


def test_a_broken_stream_resumes_after_the_last_event(page: Page) -> None:
    body = """
        const asked = [];
        const answers = [
            [503, null],
            ["id: 4\\ndata: 4\\n\\nid: 5\\ndata: 5\\n\\nid: 6\\nda", "break"],
            ["id: 6\\ndata: 6\\n\\n", "end"],
        ];
        window.fetch = async (path, options) => {
            asked.push(options.headers.get("Last-Event-ID"));
            const [text, ending] = answers.shift();
            if (ending === null) {
                return new Response("{}", { status: text });
            }
            const bytes = new TextEncoder().encode(text);
            return new Response(new ReadableStream({
                start(controller) {
                    controller.enqueue(bytes);
                    setTimeout(() => ending === "end" ? controller.close()
                        : controller.error(new TypeError("network error")), 20);
                },
            }));
        };
        const heard = [];
        const signal = new AbortController().signal;
        const last = await m.follow("/events", 3, (events) => heard.push(...events), signal);
        return { asked, heard, last };
    """
    found = run(page, "events.js", body)
    assert found == {"asked": ["3", "3", "5"], "heard": [4, 5, 6], "last": 6}


def test_a_refused_stream_is_not_retried(page: Page) -> None:
    body = """
        let number = 0;
        const problem = JSON.stringify({ code: "not_found", detail: "there is no job" });
        window.fetch = async () => { number += 1; return new Response(problem, { status: 404 }); };
        try {
            await m.follow("/events", 0, () => {}, new AbortController().signal);
        } catch (error) {
            return [number, error.message];
        }
    """
    assert run(page, "events.js", body) == [1, "there is no job"]


@pytest.mark.parametrize("config", CONFIGS, ids=range(len(CONFIGS)))
def test_the_form_round_trips_every_config(page: Page, config: dict[str, Any]) -> None:
    body = """
        const form = m.configForm(a.schema);
        document.body.append(form.node);
        form.set(a.config);
        return form.changes();
    """
    schema = PruneConfig.model_json_schema()
    found = run(page, "form/form.js", body, {"schema": schema, "config": config})
    assert found == config
    assert PruneConfig.model_validate(found) == PruneConfig.model_validate(config)


def test_the_form_works_with_the_preprocessing_schema(page: Page) -> None:
    body = """
        const form = m.configForm(a.schema);
        form.set(a.config);
        return form.changes();
    """
    config = {"resize": [32, 32], "channels": "rgb", "mean": [0.1, 0.2, 0.3], "std": [1, 2, 3]}
    schema = PreprocessSpec.model_json_schema()
    found = run(page, "form/form.js", body, {"schema": schema, "config": config})
    assert PreprocessSpec.model_validate(found) == PreprocessSpec.model_validate(config)


def test_pointers_cover_all_values_of_the_config(page: Page) -> None:
    body = "return m.pointersOf(a, a);"
    found = run(page, "form/schema.js", body, PruneConfig.model_json_schema())
    assert {"/selection/macs", "/selection/steepness", "/criterion/kind", "/seed"} <= set(found)
    assert "/retrain/optimizer/learning_rate" in found
    assert len(found) == len(set(found))


def test_the_steepness_line_touches_the_curve_where_it_is_cut(page: Page) -> None:
    """The cut is the curve's lowest point relative to the line, so no point is below the line."""
    last = 40
    curve = [[k, 1 + (k / last) ** 4] for k in range(last + 1)]
    decile = curve[36][1] - curve[0][1]
    depths = [min(1.0, (y - curve[0][1]) / decile) - k / last for k, y in curve]
    turn = depths.index(min(depths))
    layer = {"num_groups": last + 1, "num_kept": 20, "num_wanted": turn, "curve": curve}
    line = run(page, "charts/curve.js", "return m.steepnessLine(a, 1);", layer)
    gaps = [y - height for (_, y), height in zip(curve, line, strict=True) if height is not None]
    assert len(gaps) > 10
    assert min(gaps) == pytest.approx(0, abs=1e-9)
    assert line[turn] == pytest.approx(curve[turn][1])
    assert run(page, "charts/curve.js", "return m.steepnessLine(a, null);", layer) == [None] * 41


def test_scores_match_the_services_labels(page: Page) -> None:
    body = "return m.bestOf([1, 3, 2], ['a', 'b']);"
    found = run(page, "pages/try.js", body)
    assert [each["label"] for each in found] == ["b", "2", "a"]
    assert [each["score"] for each in found] == pytest.approx([0.6652, 0.2447, 0.0900], abs=1e-4)


def test_boxes_are_drawn_in_pixels_of_the_image(page: Page) -> None:
    body = """
        const node = m.foundIn(a, "", new AbortController().signal);
        document.body.append(node);
        const [box] = node.querySelectorAll("rect");
        const drawn = node.querySelector("image").getBoundingClientRect();
        const seen = box.getBoundingClientRect();
        return {
            width: seen.width / drawn.width,
            left: (seen.left - drawn.left) / drawn.width,
            words: node.querySelector("svg").getAttribute("aria-label"),
            list: [...node.querySelectorAll(".guess-name")].map((each) => each.textContent),
        };
    """
    box = {"label": "<i>cat</i>", "index": 0, "score": 0.9, "box": [10, 0, 30, 20]}
    answer = {"boxes": [[box]], "images": [{"width": 40, "height": 20}]}
    found = run(page, "parts/found.js", body, answer)
    assert found["width"] == pytest.approx(0.5, abs=0.02)
    assert found["left"] == pytest.approx(0.25, abs=0.02)
    assert (found["words"], found["list"]) == ("1 box", ["<i>cat</i>"])


def test_keypoints_are_drawn_in_pixels_of_the_image(page: Page) -> None:
    body = """
        const node = m.foundIn(a, "", new AbortController().signal);
        const [point] = node.querySelectorAll("circle");
        const names = [...node.querySelectorAll(".guess-name")].map((each) => each.textContent);
        return [point.getAttribute("cx"), point.getAttribute("cy"), m.wordsOf(a), ...names];
    """
    point = {"label": "<i>nose</i>", "index": 0, "x": 10, "y": 5, "score": 0.9}
    pose = {"score": 0.9, "box": [0, 0, 20, 20], "points": [point]}
    answer = {"keypoints": [[pose]], "images": [{"width": 40, "height": 20}]}
    found = run(page, "parts/found.js", body, answer)
    assert found == ["10", "5", "1 object", "<i>nose</i>"]


def test_a_mask_is_drawn_over_the_whole_image(page: Page) -> None:
    buffer = io.BytesIO()
    Image.new("L", (4, 2), 1).save(buffer, "PNG")
    png = base64.b64encode(buffer.getvalue()).decode()
    classes = [{"label": "sky", "index": 1, "share": 1.0}]
    mask = {"png": png, "width": 4, "height": 2, "classes": classes}
    body = """
        const node = m.foundIn(a, "", new AbortController().signal);
        document.body.append(node);
        const mask = node.querySelector(".found-mask");
        const image = new window.Image();
        image.src = mask.getAttribute("href");
        await image.decode();
        return [image.naturalWidth, mask.getAttribute("width"), m.wordsOf(a)];
    """
    answer = {"masks": [mask], "images": [{"width": 40, "height": 20}]}
    assert run(page, "parts/found.js", body, answer) == [4, "40", "1 class"]


def test_a_text_is_shown_as_text(page: Page) -> None:
    body = "return m.foundIn(a, '', null).textContent;"
    answer = {"texts": [{"text": "<b>12</b>", "score": 0.5}]}
    assert run(page, "parts/found.js", body, answer).startswith("<b>12</b>")


@pytest.mark.parametrize(
    ("call", "text"),
    [
        ("count(31021952)", "31,021,952"),
        ("compact(31021952)", "31.0M"),
        ("compact(640)", "640"),
        ("percent(0.92431)", "92.43\xa0%"),
        ("decimal(4.8e-16)", "4.8e-16"),
        ("decimal(0.51234)", "0.5123"),
        ("decimal(0)", "0"),
        ("bytes(999)", "999\xa0B"),
        ("bytes(999999)", "1.0\xa0MB"),
        ("milliseconds(0.00086)", "0.86\xa0ms"),
        ("duration(4.04)", "4.0\xa0s"),
        ("duration(252)", "4\xa0min 12\xa0s"),
        ("duration(7200)", "2\xa0h"),
        ("duration(59.96)", "1\xa0min"),
        ("count(null)", "\N{EN DASH}"),
        ("shortId('job_01JD0000000000000000ABCDEF')", "job_…ABCDEF"),
        ("plural(1, 'class', 'classes')", "1 class"),
    ],
)
def test_numbers_are_formatted_for_display(page: Page, call: str, text: str) -> None:
    assert run(page, "format.js", f"return m.{call};") == text


def test_the_page_and_the_client_detect_the_same_kinds_of_files(page: Page) -> None:
    texts = [data.decode("latin-1") for _, data in FILES]
    found = run(
        page, "parts/files.js", "return a.map((each) => m.kindOf(each, each)?.name);", texts
    )
    assert found == [name for name, _ in FILES]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, {"retrain": {"epochs": 3}}),
        ('{"/retrain/epochs": 6}', {"retrain": {"epochs": 6}}),
        (
            '{"/selection": {"mode": "budget"}}',
            {"retrain": {"epochs": 3}, "selection": {"mode": "budget"}},
        ),
        ('{"/criterion/kind": "auto"}', {"retrain": {"epochs": 3}, "criterion": {"kind": "auto"}}),
        ("not JSON", {"retrain": {"epochs": 3}}),
    ],
)
def test_a_link_changes_the_config(page: Page, given: str | None, expected: Any) -> None:
    body = "return m.withChanges({ retrain: { epochs: 3 } }, a);"
    found = run(page, "pages/new_job.js", body, given)
    assert found == expected


def test_a_link_cannot_change_the_prototype_of_objects(page: Page) -> None:
    for pointer in (
        "/__proto__/hacked",
        "/constructor/prototype/hacked",
        "/retrain/__proto__/hacked",
    ):
        body = (
            "m.withChanges({ retrain: {} }, a); return [{}.hacked ?? null, Object.hacked ?? null];"
        )
        assert run(page, "pages/new_job.js", body, json.dumps({pointer: 1})) == [None, None]
