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
from app.cli.examples import examples
from app.cli.inputs import dataset_id, model_id, parse_json, parse_preprocess, pin_version
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
from app.contracts.config_options import goal_of, make_config, selection_of
from app.contracts.goals import GOALS
from secateur import Client, Job, Plan
from secateur.options import JobOptions

app = typer.Typer(add_completion=False)

_SELECTION, _TRAINING = "What to remove (choose one)", "How to prune and retrain"
_LABELS = "Labels"
Share = Annotated[float | None, typer.Option(rich_help_panel=_SELECTION)]


@app.command(
    "prune",
    epilog=examples(
        "secateur prune net.pt2 photos/ --preprocess imagenet --goal faster --wait",
        "secateur prune resnet50 fashion --macs 0.5 --epochs 10 --job-name half",
        "secateur prune resnet50@2 fashion --goal smaller --plan",
    ),
)
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
    goal: Annotated[
        str | None,
        typer.Option(
            help=f"What to aim at: {', '.join(f'{each.name} ({each.title})' for each in GOALS)}.",
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
    int8: Annotated[
        bool,
        typer.Option(
            "--int8",
            help="Also write an int8 file, if it is faster and loses at most 0.01 "
            "(/precision/max_drop).",
            rich_help_panel=_TRAINING,
        ),
    ] = False,
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
    job_name: Annotated[
        str | None, typer.Option(help="Name for the job, to find it by.", rich_help_panel=_LABELS)
    ] = None,
    tags: Annotated[
        list[str] | None,
        typer.Option("--tag", help="Tag for the job; repeatable.", rich_help_panel=_LABELS),
    ] = None,
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
        "precision.kind": "int8" if int8 else None,
    }
    with usage_errors():
        given = selection_of({**shares, "steepness": steepness, "max_drop": max_drop})
        aim = goal_of(goal, config, given)
        base = config if aim is None else dict(aim.config)
        body = make_config(base, given | options, settings or [])
    # With other options it is a config of the user's own.
    wanted = aim.name if aim is not None and body == aim.config else None
    body = {} if wanted is not None else body
    how = None if preprocess is None else parse_preprocess(preprocess)
    model, metadata = pin_version(model)
    with service(url, key) as client:
        inputs = model_id(client, model, name), dataset_id(client, data, how)
        if plan:
            _print_plan(client.plan(*inputs, body, goal=wanted), as_json=as_json)
            return
        labels = JobOptions(tags=tags or [], metadata=metadata)
        if job_name is not None:
            labels["name"] = job_name
        job = client.prune(*inputs, body, goal=wanted, **labels)
        if not as_json:
            say(job.id, is_result=True)
        for warning in job.warnings:
            say(f"note: {warning}", colour="yellow")
        if wait:
            job = _follow(client, job)
        if as_json:
            print_json(job)


def _follow(client: Client, job: Job) -> Job:
    """Follow a job to its end and print its result."""
    with reporting(f"{job.id} is still running; to follow it: secateur watch {job.id}"):
        job = follow(client, job, already_shown=job.warnings)
    if job.result is not None:
        print_verdict(job.result)
        console(is_result=False).print(result_table(job.result))
        print_findings(job)
    return job


def _print_plan(found: Plan, *, as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    console().print(plan_table(found))
    for finding in found.findings:
        console(is_result=False).print(warning_word(finding.severity), finding.message)


def _number_or_word(text: str | None) -> int | str | None:
    return int(text) if text is not None and text.isdecimal() else text
