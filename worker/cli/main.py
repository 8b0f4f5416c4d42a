"""The entry point of ``secateur-engine``: one function per command; the pipeline does the work."""

import json
import sys
import traceback
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from pydantic import ValidationError

from app.contracts.complaints import complaints
from app.contracts.config_options import OptionError, goal_of, make_config, selection_of
from app.contracts.goals import GOALS
from app.contracts.precision_spec import PrecisionSpec
from app.contracts.spec import ArchitectureSpec, PreprocessSpec, PruneConfig, SteepnessSelection
from app.terminal import LiteralConsole, visible
from app.version import version_option
from secateur.core.formats import usual_suffixes
from secateur.engine.errors import EngineError
from secateur.engine.graph import analyse
from secateur.engine.latency import bench_of
from secateur.engine.plan import Plan
from secateur.engine.saliency import CRITERIA
from worker.cli.applying import apply_with_samples
from worker.cli.local import LocalError, local_request, open_model
from worker.cli.progress import ConsoleReporter
from worker.cli.quantizing import quantize_for_timing, quantize_with_samples
from worker.cli.tables import print_applied, print_inspection, print_report
from worker.pipeline.prune import prune
from worker.pipeline.replay import apply_plan, repair_kind_of
from worker.pipeline.report.advice import advise
from worker.pipeline.report.describe import verdict

app = typer.Typer(
    help="Inspect and prune convolutional networks on this machine, without a server.",
    no_args_is_help=True,
    add_completion=True,
)
_LIMITS, _PRECISION = SteepnessSelection(), PrecisionSpec()  # the config's defaults


@app.callback()
def options(
    *,
    _version: Annotated[bool, version_option("secateur-engine")] = False,
) -> None:
    """Inspect and prune convolutional networks on this machine, without a server."""


_SPECS = (ArchitectureSpec, PreprocessSpec, PrecisionSpec, PruneConfig)
ModelPath = Annotated[Path, typer.Argument(exists=True, help=f"A {usual_suffixes('model')} file.")]
ArchitectureName = Annotated[
    str | None,
    typer.Option(
        "--architecture",
        help="Architecture of a .safetensors file: torchvision/NAME or timm/NAME.",
    ),
]
NumClasses = Annotated[int | None, typer.Option(help="Number of classes of the architecture.")]
ImageSize = Annotated[int, typer.Option(help="Side of the architecture's images, in pixels.")]
Preprocessing = Annotated[
    str | None,
    typer.Option(
        metavar="PRESET|JSON",
        help="Preprocessing of pixels: imagenet, unit, symmetric, from-data, or JSON.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("inspect")
def inspect_command(
    model: ModelPath,
    architecture: ArchitectureName = None,
    num_classes: NumClasses = None,
    image_size: ImageSize = 224,
    as_json: AsJson = False,  # noqa: FBT002  # a flag
) -> None:
    """Show layers, channel groups, frozen filters with reasons, and the smallest reachable size."""
    try:
        program = open_model(model, _architecture(architecture, num_classes, image_size))
        analysis = analyse(program)
        found = verdict(program, analysis)
        found["advice"] = advise(program, analysis, found["layers"])
    except (EngineError, LocalError) as error:
        _fail(error)
    if as_json:
        print(json.dumps(found, indent=1))  # noqa: T201  # the command's output
    else:
        print_inspection(LiteralConsole(), found)


@app.command("bench")
def bench_command(
    model: ModelPath,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="File to write; secateur_bench.py reads it.")
    ] = Path("model.bench"),
    architecture: ArchitectureName = None,
    num_classes: NumClasses = None,
    image_size: ImageSize = 224,
) -> None:
    """Write the layers of a model for a device to measure."""
    try:
        program = open_model(model, _architecture(architecture, num_classes, image_size))
        found = bench_of(program, analyse(program))
    except (EngineError, LocalError) as error:
        _fail(error)
    output.write_text(json.dumps({"model": model.name, "name": model.stem, **found}))
    LiteralConsole().print(str(output))


@app.command("quantize")
def quantize_command(  # noqa: PLR0913, PLR0917  # the command's options
    model: ModelPath,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="File to write, if it is good enough.")
    ] = Path("model_int8.onnx"),
    data: Annotated[
        Path | None, typer.Option(exists=True, help=f"{usual_suffixes('dataset')}.")
    ] = None,
    preprocess: Preprocessing = None,
    max_drop: Annotated[
        float, typer.Option(help="Largest drop of the validation metric below the network's.")
    ] = _PRECISION.max_drop,
    target: Annotated[
        str, typer.Option(help="Processor that serves: auto (this one), vnni, avx2, arm, tensorrt.")
    ] = _PRECISION.target,
    for_timing: Annotated[  # noqa: FBT002  # a flag
        bool, typer.Option("--for-timing", help="Without data: only the file's speed is right.")
    ] = False,
    architecture: ArchitectureName = None,
    num_classes: NumClasses = None,
    image_size: ImageSize = 224,
    as_json: AsJson = False,  # noqa: FBT002  # a flag
) -> None:
    """Write the int8 file of a model, if it is faster here and keeps max_drop."""
    try:
        chosen = _architecture(architecture, num_classes, image_size)
        spec = PrecisionSpec.model_validate(
            {"kind": "int8", "max_drop": max_drop, "target": target}
        )
        if for_timing == (data is not None):
            raise LocalError(  # noqa: TRY301
                "int8 needs samples: give --data, or --for-timing if you only measure the file"
            )
        if data is None:
            types = None if spec.target == "auto" else spec.target
            reason = quantize_for_timing(model, chosen, types, output)
            found: dict[str, Any] = {"is_kept": True, "reason": reason}
        else:
            report = quantize_with_samples(
                model, chosen, spec, data, _preprocess(preprocess), output
            )
            found = report.model_dump(mode="json")
    except (EngineError, LocalError, ValidationError) as error:
        _fail(error)
    print(json.dumps(found, indent=1) if as_json else found["reason"])  # noqa: T201


@app.command("prune")
def prune_command(  # noqa: PLR0913, PLR0917  # the command's options
    context: typer.Context,
    model: ModelPath,
    out: Annotated[Path, typer.Option(help="Folder for the results; new or empty.")],
    goal: Annotated[
        str | None,
        typer.Option(
            help="What to aim at, in place of an amount: "
            + ", ".join(f"{goal.name} ({goal.title})" for goal in GOALS)
            + "."
        ),
    ] = None,
    criterion: Annotated[str, typer.Option(help=f"{', '.join(CRITERIA)} or auto.")] = "l1",
    ratio: Annotated[float | None, typer.Option(help="Share of filters to remove.")] = None,
    scope: Annotated[str, typer.Option(help="Scope of the ratio: layer or global.")] = "layer",
    macs: Annotated[float | None, typer.Option(help="Share of MACs to keep.")] = None,
    params: Annotated[float | None, typer.Option(help="Share of parameters to keep.")] = None,
    latency: Annotated[float | None, typer.Option(help="Share of latency to keep.")] = None,
    steepness: Annotated[float | None, typer.Option(help="Slope at which curves are cut.")] = None,
    max_drop: Annotated[
        float | None, typer.Option(help="Find the smallest network that loses at most this.")
    ] = None,
    round_to: Annotated[
        str,
        typer.Option(help="Widths are multiples of this; auto: measured. A goal may set it."),
    ] = f"{_LIMITS.round_to}",
    min_channels: Annotated[
        int, typer.Option(help="Fewest channels that a layer keeps.")
    ] = _LIMITS.min_channels,
    max_ratio: Annotated[
        float, typer.Option(help="Largest share of filters that a layer loses.")
    ] = _LIMITS.max_ratio,
    exclude: Annotated[list[str] | None, typer.Option(help="Globs on weight names.")] = None,
    data: Annotated[
        Path | None, typer.Option(exists=True, help=f"{usual_suffixes('dataset')}.")
    ] = None,
    preprocess: Preprocessing = None,
    epochs: Annotated[
        str, typer.Option(help="Epochs of retraining: a number, or auto (by the data).")
    ] = "auto",
    sanity: Annotated[
        str,
        typer.Option(help="What to do if the network does not fit the data: stop, warn, or off."),
    ] = "stop",
    compare: Annotated[  # noqa: FBT002  # a flag
        bool, typer.Option(help="Correlate all criteria with the exact loss.")
    ] = False,
    baselines: Annotated[  # noqa: FBT002  # a flag
        bool,
        typer.Option(help="Also train a randomly pruned network, and the pruned one from scratch."),
    ] = False,
    int8: Annotated[  # noqa: FBT002  # a flag
        bool, typer.Option("--int8", help="Also write an int8 file, if it is faster.")
    ] = False,
    config: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="Config as JSON, as the service takes it; replaces the options.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of all random numbers.")] = 0,
    device: Annotated[str, typer.Option(help="Device for retraining: cpu or cuda[:N].")] = "cpu",
    num_threads: Annotated[int, typer.Option(help="Threads; 0: one per core.")] = 0,
    architecture: ArchitectureName = None,
    num_classes: NumClasses = None,
    image_size: ImageSize = 224,
    as_json: AsJson = False,  # noqa: FBT002  # a flag
) -> None:
    """Prune, retrain, verify and export: a job of the service, run in this process."""
    shares = {"ratio": ratio, "macs": macs, "params": params, "latency": latency}
    source = context.get_parameter_source("round_to")
    is_default = source is not None and source.name == "DEFAULT"
    options = {
        "criterion.kind": criterion,
        "criterion.compare": compare,
        "selection.scope": scope if ratio is not None else None,
        "selection.round_to": None if is_default else _width(round_to),
        "selection.min_channels": min_channels,
        "selection.max_ratio": max_ratio,
        "selection.exclude": exclude or [],
        "retrain.epochs": "auto" if epochs == "auto" else _number("--epochs", epochs),
        "sanity.action": sanity,
        "baselines": baselines,
        "precision.kind": "int8" if int8 else None,
        "seed": seed,
    }
    console = LiteralConsole(stderr=True)
    try:
        given = selection_of({**shares, "steepness": steepness, "max_drop": max_drop})
        aim = goal_of(goal, {"config": str(config)} if config is not None else None, given)
        body = make_config(None if aim is None else dict(aim.config), given | options, [])
        spec = (
            PruneConfig.model_validate(body)
            if config is None
            else PruneConfig.model_validate_json(config.read_bytes())
        )
        chosen = _architecture(architecture, num_classes, image_size)
        with (
            local_request(
                model, chosen, spec, data, out, device, num_threads, _preprocess(preprocess)
            ) as request,
            ConsoleReporter(console) as reporter,
        ):
            done = prune(request, reporter)
    except (EngineError, LocalError, OptionError, ValidationError) as error:
        _fail(error)
    if as_json:
        print(json.dumps(done.result, indent=1))  # noqa: T201  # the command's output
    else:
        print_report(LiteralConsole(), json.loads((out / "report.json").read_text()), out)


@app.command("apply")
def apply_command(  # noqa: PLR0913, PLR0917  # the command's options
    plan: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="A plan.json.")],
    model: ModelPath,
    out: Annotated[Path, typer.Option(help="Folder for the results.")],
    architecture: ArchitectureName = None,
    num_classes: NumClasses = None,
    image_size: ImageSize = 224,
    data: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="Samples: repeat the repair of the job."),
    ] = None,
    as_json: AsJson = False,  # noqa: FBT002  # a flag
) -> None:
    """Apply a plan to its model, or to other weights of the same graph."""
    try:
        spec = _architecture(architecture, num_classes, image_size)
        wanted = Plan.from_json(plan.read_text())
        if data is None:
            found = apply_plan(open_model(model, spec), wanted, out)
        else:
            found = apply_with_samples(data, model, spec, wanted, out)
    except (EngineError, LocalError, UnicodeDecodeError) as error:
        _fail(error)
    if as_json:
        print(json.dumps(found, indent=1))  # noqa: T201  # the command's output
    else:
        print_applied(LiteralConsole(), found, out)
        if data is None and repair_kind_of(wanted) == "reconstruct":
            LiteralConsole().print("the plan's job also repaired the network: --data repeats that")


def main() -> None:
    """Run the command line; report every failure in one line."""
    try:
        app()
    except Exception as error:  # noqa: BLE001  # a bug: a traceback tells users nothing
        reason = (str(error).splitlines() or [""])[0][:300]
        frame = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{Path(frame.filename).name}:{frame.lineno}"
        found = f"{type(error).__name__}: {reason} ({place})"
        _fail(RuntimeError(f"this is a bug in Secateur, not in your files: {found}"))


def _architecture(
    name: str | None, num_classes: int | None, image_size: int
) -> ArchitectureSpec | None:
    if name is None:
        return None
    try:
        return ArchitectureSpec(name=name, num_classes=num_classes, image_size=image_size)
    except ValidationError as error:
        _fail(error)


def _preprocess(text: str | None) -> PreprocessSpec | None:
    if text is None:
        return None
    sent = text if text.lstrip().startswith("{") else json.dumps({"preset": text})
    return PreprocessSpec.model_validate_json(sent)


def _width(text: str) -> int | str:
    return text if text == "auto" else _number("--round-to", text)


def _number(option: str, text: str) -> int:
    if not text.isdecimal():
        _fail(LocalError(f"{option} must be a whole number or auto, not {text!r}"))
    return int(text)


def _fail(error: Exception) -> NoReturn:
    if isinstance(error, ValidationError):
        schema = {kind.__name__: kind for kind in _SPECS}.get(error.title)
        lines = [
            f"{each.pointer[1:].replace('/', '.')} {each.detail}".strip()
            for each in complaints(error, schema)
        ]
        message = "; ".join(lines)
    else:
        message = str(error)
        if isinstance(error, EngineError) and error.hint:
            message = f"{message.rstrip('.')}. {error.hint}"
    typer.secho(visible(f"secateur-engine: {message}"), fg="red", err=True)
    sys.exit(1)
