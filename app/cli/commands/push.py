"""``secateur push``."""

from pathlib import Path
from typing import Annotated

import typer

from app.cli.client import AsJson, Key, Url, fail_usage, service
from app.cli.inputs import parse_preprocess, push_dataset, push_model
from app.cli.output import print_json
from secateur import Dataset, Model
from secateur.core.formats import suffixes, usual_suffixes
from secateur.options import ModelOptions

_FILE = f"{usual_suffixes('model')}; or samples."

app = typer.Typer(add_completion=False)


@app.command("push")
def push_command(  # noqa: PLR0913  # the command's options
    path: Annotated[Path, typer.Argument(help=_FILE, metavar="FILE")],
    *,
    name: Annotated[str | None, typer.Option(help="The file's own unless given.")] = None,
    data: Annotated[
        bool, typer.Option("--data", help="The file holds samples; known by .npz, .zip and so on.")
    ] = False,
    preprocess: Annotated[
        str | None,
        typer.Option(
            metavar="PRESET|JSON",
            help="Of samples: how pixels become inputs, as the network was trained: imagenet, unit "
            '(0 to 1), symmetric (-1 to 1), from-data, or {"mean": [0.5], "std": [0.5]}.',
        ),
    ] = None,
    architecture: Annotated[
        str | None, typer.Option(help="Of a .safetensors file: torchvision/NAME or timm/NAME.")
    ] = None,
    num_classes: Annotated[int | None, typer.Option(help="Of that architecture.")] = None,
    in_channels: Annotated[int | None, typer.Option(help="Likewise.")] = None,
    image_size: Annotated[int | None, typer.Option(help="Likewise, in pixels.")] = None,
    as_json: AsJson = False,
    url: Url = None,
    key: Key = None,
) -> None:
    """Upload a model, or samples with --data.

    The id goes to standard output when the intake has accepted the file.
    """
    is_data = data or path.name.endswith(suffixes("dataset"))
    if is_data and path.name.endswith(suffixes("model")):
        raise fail_usage(f"{path.name} is a model; --data is for samples")
    if preprocess is not None and not is_data:
        raise fail_usage("--preprocess is for samples: add --data")
    given = {
        "name": name,
        "architecture": architecture,
        "num_classes": num_classes,
        "in_channels": in_channels,
        "image_size": image_size,
    }
    item: Model | Dataset
    how = None if preprocess is None else parse_preprocess(preprocess)
    with service(url, key) as client:
        if is_data:
            item = push_dataset(client, path, name, how)
        else:
            chosen = {option: value for option, value in given.items() if value is not None}
            item = push_model(client, path, ModelOptions(**chosen))  # type: ignore[typeddict-item]
    if as_json:
        print_json(item)
    else:
        typer.echo(item.id)
