"""``secateur doctor``."""

import typer
from rich.table import Table
from rich.text import Text

from app.cli.client import AsJson, ExitCode, Key, Url
from app.cli.doctor import run_checks
from app.cli.doctor.finding import Finding, Status
from app.cli.output import console, print_json

app = typer.Typer(add_completion=False)

_MARKS = {
    Status.OK: Text("ok", "green"),
    Status.NOTE: Text("note", "yellow"),
    Status.FAIL: Text("FAIL", "bold red"),
}


@app.command("doctor")
def doctor_command(*, as_json: AsJson = False, url: Url = None, key: Key = None) -> None:
    """Check this installation and suggest fixes.

    Checks versions, devices, broker, database, store, disk and the running service with the
    settings of this environment. Exits with 1 if a check fails.
    """
    with console(is_result=False).status("Checking …"):
        findings = list(run_checks(url, key))
    if as_json:
        print_json([vars(finding) for finding in findings])
    else:
        console().print(_table(findings))
    if any(finding.status is Status.FAIL for finding in findings):
        raise typer.Exit(ExitCode.FAILED)


def _table(findings: list[Finding]) -> Table:
    table = Table.grid(padding=(0, 2))
    for finding in findings:
        text = Text(finding.detail)
        if finding.advice:
            text.append(f"\n→ {finding.advice}", "bold")
        table.add_row(_MARKS[finding.status], finding.name, text)
    return table
