"""``secateur push``."""

from pathlib import Path
from typing import Annotated

import typer

from app.cli.client import AsJson, Key, Url, fail_usage, service
from app.cli.examples import examples
from app.cli.inputs import parse_preprocess, push_dataset, push_model
from app.cli.output import print_json, say
from secateur import Dataset, Model
from secateur.core.formats import suffixes, usual_suffixes
from secateur.core.urls import find_url
from secateur.hugging_face import is_dataset
from secateur.options import ModelOptions

_FILE = (
    f"Model file ({usual_suffixes('model')}) or data set file; its URL (https, s3 or gs), which "
    "the service fetches; a folder of images; a network with its published weights: "
    "timm/resnet50, torchvision/resnet50; a repository on the Hugging Face Hub: hf:owner/name, "
    "hf:datasets/owner/name; or a version in MLflow: models:/NAME@ALIAS."
)

app = typer.Typer(add_completion=False)


@app.command(
    "push",
    epilog=examples(
        "secateur push net.pt2 --name camera",
        "secateur push photos/ --preprocess imagenet",
        "secateur push timm/resnet50",
        "secateur push hf:datasets/ylecun/mnist/mnist",
        "secateur push https://example.org/net.onnx",
    ),
)
def push_command(  # noqa: PLR0913  # the command's options
    path: Annotated[Path, typer.Argument(help=_FILE, metavar="FILE")],
    *,
    name: Annotated[
        str | None, typer.Option(help="Name to store it under. Default: the file's name.")
    ] = None,
    data: Annotated[
        bool,
        typer.Option(
            "--data", help="The file holds samples. Implied by .npz, .zip and other data suffixes."
        ),
    ] = False,
    preprocess: Annotated[
        str | None,
        typer.Option(
            metavar="PRESET|JSON",
            help="Preprocessing of the samples, as the network was trained: imagenet, unit "
            '(0 to 1), symmetric (-1 to 1), from-data, or {"mean": [0.5], "std": [0.5]}.',
        ),
    ] = None,
    architecture: Annotated[
        str | None,
        typer.Option(help="Architecture of a .safetensors file: torchvision/NAME or timm/NAME."),
    ] = None,
    num_classes: Annotated[
        int | None, typer.Option(help="Number of classes of the architecture.")
    ] = None,
    in_channels: Annotated[
        int | None, typer.Option(help="Input channels of the architecture.")
    ] = None,
    image_size: Annotated[
        int | None, typer.Option(help="Image size of the architecture, in pixels.")
    ] = None,
    as_json: AsJson = False,
    url: Url = None,
    key: Key = None,
) -> None:
    """Upload a model, or samples with --data.

    Prints the id on standard output once the intake has accepted the file.
    """
    file = path.name if find_url(path) is None else path.name.partition("?")[0]
    is_data = data or path.is_dir() or is_dataset(str(path)) or file.endswith(suffixes("dataset"))
    if is_data and file.endswith(suffixes("model")):
        raise fail_usage(f"{path.name} is a model file; --data is for samples")
    if preprocess is not None and not is_data:
        raise fail_usage("--preprocess applies to samples: add --data")
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
        say(item.id, is_result=True)
