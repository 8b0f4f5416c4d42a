"""A short run of `tests.attacks.schema` with a fixed seed."""

from pathlib import Path

from app.inference.supervisor import Supervisor
from tests.fixtures.api import running_api

EXAMPLES = 6


def test_every_answer_is_one_that_the_document_declares(tmp_path: Path) -> None:
    # Schemathesis is imported in a second: not in every process of the tests.
    from tests.attacks.schema import NO_FETCH, attack  # noqa: PLC0415

    with running_api(tmp_path / "data", supervisor=Supervisor, fetch=NO_FETCH) as api:
        tally = attack(api, EXAMPLES, seed=1)
        num_operations = len(api.client.get("/openapi.json").json()["paths"])
    assert tally.findings == {}
    assert tally.num_requests > num_operations * EXAMPLES / 2
