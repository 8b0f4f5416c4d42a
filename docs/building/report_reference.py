"""Reference tables of ``report.json``, from its pydantic models."""

from app.contracts.report import Report
from docs.building.schemas import members, one_line


def render() -> str:
    """Return the tables."""
    schema = Report.model_json_schema()
    parts = ["## Report\n", *members(schema, with_default=False)]
    for name, part in sorted(schema["$defs"].items()):
        parts += [f"\n## {name}\n", one_line(part.get("description", "")), ""]
        parts += members(part, with_default=False)
    return "\n".join(parts) + "\n"
