"""``secateur prune``."""

from typing import Annotated, Any

import typer

from app.cli.client import (
    AsJson,
    DataOrFile,
    Key,
    ModelOrFile,
    Url,
    fail_usage,
    reporting,
    service,
    usage_errors,
)
from app.cli.inputs import dataset_id, model_id, parse_json, parse_preprocess
from app.cli.output import (
    console,
    plan_table,
    print_findings,
    print_json,
    print_verdict,
    result_table,
    say,
    warning_word,
)
from app.cli.progress import follow
from app.contracts.config_options import make_config, selection_of

app = typer.Typer(add_completion=False)

_SELECTION, _TRAINING = "What to remove (choose one)", "How to prune and retrain"
Share = Annotated[float | None, typer.Option(rich_help_panel=_SELECTION)]


@app.command("prune")
def prune_command(  # noqa: PLR0913  # the command's options
    model: ModelOrFile,
    data: DataOrFile = None,
    *,
    macs: Annotated[
        float | None,
        typer.Option(help="Fraction of MACs to keep, such as 0.5.", rich_help_panel=_SELECTION),
    ] = None,
    params: Annotated[
        float | None,
        typer.Option(help="Fraction of parameters to keep.", rich_help_panel=_SELECTION),
    ] = None,
    latency: Annotated[
        float | None,
        typer.Option(help="Fraction of the measured latency to keep.", rich_help_panel=_SELECTION),
    ] = None,
    ratio: Annotated[
        float | None,
        typer.Option(help="Fraction of filters to remove.", rich_help_panel=_SELECTION),
    ] = None,
    steepness: Annotated[
        float | None,
        typer.Option(help="Slope at which saliency curves are cut.", rich_help_panel=_SELECTION),
    ] = None,
    max_drop: Annotated[
        float | None,
        typer.Option(
            help="Smallest network that loses at most this much accuracy.",
            rich_help_panel=_SELECTION,
        ),
    ] = None,
    criterion: Annotated[
        str | None,
        typer.Option(help="Saliency criterion: l1, l2, loss, taylor, …", rich_help_panel=_TRAINING),
    ] = None,
    round_to: Annotated[
        str | None,
        typer.Option(
            help="Keep a multiple of this many channels; a number or auto.",
            rich_help_panel=_TRAINING,
        ),
    ] = None,
    epochs: Annotated[
        str | None,
        typer.Option(
            help="Epochs of retraining; a number, or auto to decide by the data.",
            rich_help_panel=_TRAINING,
        ),
    ] = None,
    config: Annotated[
        dict[str, Any] | None,
        typer.Option(
            parser=parse_json,
            metavar="JSON",
            help="Config as JSON or a JSON file; options override it.",
            rich_help_panel=_TRAINING,
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="/POINTER=VALUE",
            help="Any config value, such as /retrain/ema=0.99; repeatable.",
            rich_help_panel=_TRAINING,
        ),
    ] = None,
    preprocess: Annotated[
        str | None,
        typer.Option(
            metavar="PRESET|JSON",
            help="Preprocessing of an uploaded data file: imagenet, unit, symmetric, from-data or "
            "JSON.",
        ),
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name for an uploaded model file.")] = None,
    plan: Annotated[
        bool, typer.Option("--plan", help="Only print the resulting size; prune nothing.")
    ] = False,
    wait: Annotated[
        bool, typer.Option("--wait", "-w", help="Follow the job until it ends.")
    ] = False,
    as_json: AsJson = False,
    url: Url = None,
    key: Key = None,
) -> None:
    """Start a pruning job, or preview it with --plan.

    Prints the job's id on standard output.
    """
    if plan and wait:
        raise fail_usage("--plan and --wait are mutually exclusive: a plan starts no job")
    shares = {"macs": macs, "params": params, "latency": latency, "ratio": ratio}
    options = {
        "criterion.kind": criterion,
        "selection.round_to": _number_or_word(round_to),
        "retrain.epochs": _number_or_word(epochs),
    }
    with usage_errors():
        given = selection_of({**shares, "steepness": steepness, "max_drop": max_drop})
        body = make_config(config, given | options, settings or [])
    how = None if preprocess is None else parse_preprocess(preprocess)
    with service(url, key) as client:
        inputs = model_id(client, model, name), dataset_id(client, data, how)
        if plan:
            found = client.plan(*inputs, body)
            if as_json:
                print_json(found)
            else:
                console().print(plan_table(found))
                for finding in found.findings:
                    word = warning_word(finding.severity)
                    console(is_result=False).print(word, finding.message)
            return
        job = client.prune(*inputs, body)
        if not as_json:
            say(job.id, is_result=True)
        for warning in job.warnings:
            say(f"note: {warning}", colour="yellow")
        if wait:
            with reporting(f"{job.id} is still running; to follow it: secateur watch {job.id}"):
                job = follow(client, job, already_shown=job.warnings)
            if job.result is not None:
                print_verdict(job.result)
                console(is_result=False).print(result_table(job.result))
                print_findings(job)
        if as_json:
            print_json(job)


def _number_or_word(text: str | None) -> int | str | None:
    return int(text) if text is not None and text.isdecimal() else text
