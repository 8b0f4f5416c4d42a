"""``secateur publish``."""

from typing import Annotated

import typer

from app.cli.client import JobId, Key, Url, service
from app.cli.examples import examples
from app.cli.names import resolve_job
from app.cli.output import say

app = typer.Typer(add_completion=False)


@app.command(
    "publish",
    epilog=examples(
        "secateur publish latest ada/small-camera",
        "secateur publish half ada/small-camera --public",
    ),
)
def publish_command(
    job_id: JobId,
    repo: Annotated[str, typer.Argument(help="Repository on the Hub.", metavar="OWNER/NAME")],
    *,
    public: Annotated[
        bool, typer.Option("--public", help="Let everyone read a repository that is created.")
    ] = False,
    url: Url = None,
    key: Key = None,
) -> None:
    """Publish a finished job's network on the Hugging Face Hub, with a model card.

    Signs in with HF_TOKEN or what `hf auth login` stored; the service does not see it. Prints the
    repository's address on standard output.
    """
    from secateur.hugging_face import publish  # noqa: PLC0415  # seldom needed

    with service(url, key) as client:
        address = publish(client.get_job(resolve_job(client, job_id)), repo, is_public=public)
    say(address, is_result=True)
