"""Two hundred clients that upload a few bytes a second do not delay others."""

from pathlib import Path

import psutil

from tests.attacks.server import running_server
from tests.attacks.slow_clients import HealthyClient, slow_crowd

CLIENTS = 200


def test_a_healthy_client_is_served_among_slow_ones(tmp_path: Path) -> None:
    many = {"QUOTAS__UPLOADS": "100000"}
    with running_server(tmp_path / "data", **many) as server:
        process, uploads = psutil.Process(server.pid), tmp_path / "data" / "scratch" / "uploads"
        before = process.num_fds()
        with slow_crowd(server, CLIENTS, pause=0.2) as crowd:
            reports = HealthyClient(server).work(3)  # raises where an answer is no good one
            assert crowd.num_sending == CLIENTS
            assert crowd.statuses == []
            # Their bytes are few: none has a file yet, and none a thread.
            assert list(uploads.iterdir()) == []
            assert process.num_fds() < before + CLIENTS + 64
        assert all(report.count >= 1 for report in reports.values())
