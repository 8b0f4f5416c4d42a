"""Plans and jobs as tables, for terminals and notebooks."""

from collections.abc import Sequence
from html import escape

from secateur.types.jobs import JobData, Plan

Row = Sequence[str]


def plan_rows(plan: Plan) -> list[Row]:
    """Return a plan as rows of a table, the first of which is the head."""
    rows: list[Row] = [("", "dense", "pruned", "left")]
    for name, title in (("macs", "MACs"), ("num_parameters", "parameters")):
        left = f"{plan.left[name]:.1%}"
        rows.append((title, f"{plan.dense[name]:,}", f"{plan.pruned[name]:,}", left))
    for group in plan.groups:
        before, after = group["num_groups"], group["num_kept"]
        rows.append((group["name"], str(before), str(after), f"{after / max(1, before):.0%}"))
    return rows


def job_rows(job: JobData) -> list[Row]:
    """Return a job as rows of a table, the first of which is the head."""
    rows: list[Row] = [("job", job.id), ("status", job.status)]
    if job.name is not None:
        rows.append(("name", job.name))
    if job.error is not None:
        rows.append((job.error.code, job.error.message))
    if job.result is not None:
        summary = job.result.summary
        if summary.verdict is not None:
            rows.append(("verdict", summary.verdict.text))
        value = summary.retrained.value(summary.metric)
        if summary.metric is not None and value is not None:
            rows.append((summary.metric, f"{value:.4f}"))
        rows += [(f"speed, batch {each.batch_size}", each.text) for each in summary.speedups]
        share = summary.retrained.macs / max(1, summary.dense.macs)
        rows.append(("MACs left", f"{share:.1%}"))
    return rows


def as_text(rows: Sequence[Row]) -> str:
    """Return rows as text with aligned columns: the first to the left, the others to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def as_html(rows: Sequence[Row]) -> str:
    """Return rows as an HTML table; the texts are escaped."""
    head, *body = ("".join(f"<td>{escape(cell)}</td>" for cell in row) for row in rows)
    lines = "".join(f"<tr>{row}</tr>" for row in body)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table>"
