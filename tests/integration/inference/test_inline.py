"""Runs shorter than waking a thread happen in the thread of the event loop."""

from pathlib import Path

import numpy as np
import pytest

from tests.fixtures.api import running_api, write_linear_onnx

BODY = {"inputs": [[[[1, 2], [3, 4]]]]}


@pytest.mark.parametrize(("seconds", "status"), [(0.01, 200), (0.0, 500)])
def test_only_short_runs_happen_without_threads(
    seconds: float, status: int, tmp_path: Path
) -> None:
    write_linear_onnx(tmp_path / "m.onnx", np.eye(4, 3), ["batch", 1, 2, 2])
    with running_api(tmp_path / "data", inference={"inline_seconds": seconds}) as api:
        path = f"/v1/models/{api.ready_model(tmp_path / 'm.onnx')}/infer"
        first = api.client.post(path, json=BODY)  # how long it takes is not known yet
        api.client.app.state.inference._execution._threads.shutdown()  # type: ignore[attr-defined]
        second = api.client.post(path, json=BODY)
        assert (first.status_code, second.status_code) == (200, status)
        if status == 200:
            assert second.json() == first.json()


def test_inline_runs_report_inputs_that_the_network_cannot_compute(tmp_path: Path) -> None:
    write_linear_onnx(tmp_path / "m.onnx", np.eye(4, 3), ["batch", 1, "height", 2])
    with running_api(tmp_path / "data", inference={"inline_seconds": 0.01}) as api:
        path = f"/v1/models/{api.ready_model(tmp_path / 'm.onnx')}/infer"
        assert api.client.post(path, json=BODY).status_code == 200
        answer = api.client.post(path, json={"inputs": [[[[1, 2], [3, 4], [5, 6]]]]})
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_input")
        assert "cannot compute" in answer.json()["detail"]
        assert api.client.post(path, json=BODY).status_code == 200
