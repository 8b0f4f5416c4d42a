"""Model card of a pruned network, written from its job's report.

The card's section about the job stands between two comments. In a card that is there, only this
section is written anew; its metadata, with the licence, stays as it is.
"""

import html
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from secateur.types import JobResult, Network

_BEGIN, _END = "<!-- secateur:begin -->", "<!-- secateur:end -->"
_SECTION = re.compile(re.escape(_BEGIN) + r".*?" + re.escape(_END), re.DOTALL)
_FRONT = re.compile(r"\A---\r?\n(.*?)\r?\n---\r?(?:\n|\Z)", re.DOTALL)
# The keys of a licence, each with the lines that belong to it.
_LICENCE = re.compile(r"^license(?:_name|_link)?:.*(?:\n[ \-].*)*", re.MULTILINE)
_SHARES = frozenset({"top1", "top5", "macro_f1", "miou", "dice", "exact", "map50_95", "map50"})
_TITLES = {"top1": "Accuracy", "miou": "Mean IoU", "exact": "Lines without a mistake"}


def write_card(
    result: JobResult,
    report: Mapping[str, Any],
    repo: str,
    *,
    existing: str = "",
    base: tuple[str, str] | None = None,
) -> str:
    """Return a model card.

    Args:
        result: The job's result.
        report: Its ``report.json``.
        repo: Name of the repository that the card is for.
        existing: The card that is there; empty: none.
        base: Name and card of the repository that was pruned; a new card takes its licence.
    """
    section = "\n".join([_BEGIN, *_section(result, report, repo), _END])
    if _SECTION.search(existing):
        return _SECTION.sub(lambda _: section, existing, count=1)
    if existing.strip():
        return f"{existing.rstrip()}\n\n{section}\n"
    name = _plain(repo.rpartition("/")[2])
    return "\n".join([*_front_matter(base), f"# {name}", "", section, ""])


def _front_matter(base: tuple[str, str] | None) -> Iterator[str]:
    yield from ("---", "library_name: onnx", "tags:", "- pruned", "- secateur")
    if base is not None:
        repo, card = base
        yield f"base_model: {repo}"
        front = _FRONT.match(card)
        yield from _LICENCE.findall(front[1]) if front else ()
    yield from ("---", "")


def _section(result: JobResult, report: Mapping[str, Any], repo: str) -> Iterator[str]:
    summary = result.summary
    yield "## Pruned network"
    yield ""
    if summary.verdict is not None:
        yield from (f"**{_plain(summary.verdict.text)}**", "")
    yield from ("| | dense | pruned |", "|---|---|---|")
    for name, dense, pruned in _rows(summary.metric, summary.dense, summary.retrained):
        yield f"| {name} | {dense} | {pruned} |"
    yield ""
    for found in summary.speedups:
        low, high = f"{found.low:.2f}", f"{found.high:.2f}"
        measured = f"{found.ratio:.2f}x (95 % interval {low} to {high})"
        measured = measured if found.is_measurable else "no measurable difference"
        yield f"* Speed at batch size {found.batch_size}, on the worker: {measured}"
    exact = summary.equivalence
    yield (
        "* Certificate: the small network computes the same as the dense one with the removed "
        + (
            "filters set to zero."
            if exact.is_exact
            else f"filters set to zero, except behind {_plain(', '.join(exact.inexact_ops))}."
        )
    )
    yield from _made_from(report)
    yield from ("", "### Use it", "", "```python", *_snippet(report, repo), "```")
    yield from (
        "",
        "`report.html` has every measurement, and the config that makes the network again.",
    )


def _rows(metric: str | None, dense: Network, pruned: Network) -> Iterator[tuple[str, str, str]]:
    if metric is not None and dense.value(metric) is not None:
        title = _TITLES.get(metric, metric)
        yield title, _quality(metric, dense), _quality(metric, pruned)
    yield "Multiply-accumulates", f"{dense.macs:,}", f"{pruned.macs:,}"
    yield "Parameters", f"{dense.num_parameters:,}", f"{pruned.num_parameters:,}"
    yield "ONNX file", f"{dense.file_bytes:,} bytes", f"{pruned.file_bytes:,} bytes"


def _quality(metric: str, network: Network) -> str:
    found, value = network.final_metrics(), network.value(metric)
    if found is None or value is None:
        return "-"
    text = _number(metric, value)
    if found.interval is not None:
        text += " ({} to {})".format(*(_number(metric, each) for each in found.interval))
    return f"{text}, {found.split} split"


def _number(metric: str, value: float) -> str:
    return f"{100 * value:.2f} %" if metric in _SHARES else f"{value:.4g}"


def _made_from(report: Mapping[str, Any]) -> Iterator[str]:
    model, data = report.get("model") or {}, report.get("data") or {}
    if model.get("name"):
        yield f"* Pruned from: {_plain(model['name'])}"
    if data.get("name"):
        yield f"* Data: {_plain(data['name'])}, {data.get('num_samples', 0):,} samples"
    if data.get("preprocess"):
        yield f"* Preprocessing: `{_code(data['preprocess'])}`; x = (pixel * scale - mean) / std"


def _snippet(report: Mapping[str, Any], repo: str) -> Sequence[str]:
    inputs = (report.get("model") or {}).get("inputs") or [{}]
    shape = [each if isinstance(each, int) else 1 for each in inputs[0].get("shape", ())]
    return (
        "import numpy as np",
        "import onnxruntime",
        "from huggingface_hub import hf_hub_download",
        "",
        f'path = hf_hub_download({json.dumps(repo)}, "model.onnx")',
        "session = onnxruntime.InferenceSession(path)",
        f"x = np.zeros({tuple(shape)}, np.float32)  # your samples, preprocessed as above",
        "outputs = session.run(None, {session.get_inputs()[0].name: x})",
    )


def _code(value: object) -> str:
    return json.dumps(value).replace("`", "'").replace("|", "/")


def _plain(text: str) -> str:
    """Return a text of a user's that is no markup in Markdown."""
    escaped = html.escape(" ".join(text.split()), quote=False)
    return re.sub(r"([\\`*_\[\]|#])", r"\\\1", escaped)
