"""Generate docs/sample-report.html: ``python -m docs.generate_sample_report``.

The source, ``sample-report.json``, is the ``report.json`` of a real job: the demo's ResNet-20 on
Fashion-MNIST, with ``criterion: auto``, ``compare`` and ``baselines``. It contains its config. The
intervals of its accuracies and the verdict were computed later. Its latencies have no intervals.
"""

from pathlib import Path

from app.contracts.report import Report
from worker.pipeline.report.page import render_page
from worker.pipeline.report.verdict import judge

TARGET = Path(__file__).parent / "sample-report.html"
SOURCE = TARGET.with_suffix(".json")


def render() -> str:
    """Return the page."""
    report = Report.model_validate_json(SOURCE.read_bytes())
    return render_page(report.model_copy(update={"verdict": judge(report)}))


if __name__ == "__main__":
    TARGET.write_text(render(), encoding="utf-8")
