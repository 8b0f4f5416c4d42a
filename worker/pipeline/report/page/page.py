"""Renders a report as one self-contained HTML file: no network, no scripts, no other files.

Text from users (names of models, layers and classes, reasons, notes) is stripped of characters that
are not text, then escaped by the template engine. Equal reports give equal bytes. Durations other
than the measured latency are left out, so a resumed job has the same page as an uninterrupted one.
"""

import json
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from app.contracts.report import Report
from app.drawing.svg import clean
from worker.pipeline.report.page import charts, curves, formats, names, tables, words
from worker.pipeline.report.page.int8 import int8_section
from worker.pipeline.report.page.pictures import search_chart, training_charts
from worker.pipeline.report.page.targets import target_rows

_PACKAGE = "worker.pipeline.report.page"


def render_page(report: Report) -> str:
    """Return the HTML page of a report."""
    clean = Report.model_validate(_clean(report.model_dump()))
    style = Markup(files(_PACKAGE).joinpath("templates/report.css").read_text())  # noqa: S704  # ours
    return _environment().get_template("report.html").render(style=style, **_view(clean))


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader(_PACKAGE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "count": formats.count,
        "percent": formats.percent,
        "scientific": formats.scientific,
        "significant": formats.significant,
        "span": formats.span,
        "layer": names.layer,
        "chart": lambda chart: Markup(charts.draw(chart)),  # noqa: S704  # `draw` escapes
        "panel": lambda panel: Markup(curves.draw(panel)),  # noqa: S704  # `draw` escapes
    }
    return environment


def _view(report: Report) -> dict[str, Any]:
    """Return the variables of the template."""
    selection = report.config["selection"]
    steepness = selection["steepness"] if selection["mode"] == "steepness" else None
    frozen, num_more_frozen = tables.frozen(report)
    panels = curves.panels(report.groups, steepness)
    return {
        "report": report,
        "names": names,
        "title": (report.model.name if report.model is not None else None) or "A network",
        "lead": words.lead(report),
        "tiles": tables.tiles(report),
        "asked": words.asked(report),
        "costs": tables.costs(report),
        "comparisons": tables.comparisons(report),
        "by_class": tables.by_class(report),
        "int8": int8_section(report),
        "targets": target_rows(report),
        "load": words.load_text(report),
        "layers": report.layers,
        "widest": max((layer.num_outputs[0] for layer in report.layers), default=1) or 1,
        "costliest": max((layer.macs[0] for layer in report.layers), default=1) or 1,
        "panels": panels,
        "num_panels_left_out": len(report.groups) - len(panels),
        "steepness": steepness,
        "charts": training_charts(report),
        "search_chart": search_chart(report),
        "certificate": words.certificate(report.equivalence),
        "frozen": frozen,
        "num_more_frozen": num_more_frozen,
        "not_default": tables.not_default(report.config),
        "config": json.dumps(report.config, indent=1, ensure_ascii=False),
        "preprocess": json.dumps(report.data.preprocess) if report.data is not None else None,
    }


def _clean(value: Any) -> Any:  # noqa: ANN401  # any part of a report
    """Return a value with all characters that are not text removed from its strings."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, dict):
        return {_clean(key): _clean(each) for key, each in value.items()}
    return [_clean(each) for each in value] if isinstance(value, (list, tuple)) else value
