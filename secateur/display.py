"""Jobs as tables, for notebooks."""

from secateur.types.jobs import JobData
from secateur.types.tables import Row


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
