import pytest

from app.doorbell import CeleryJobQueue


@pytest.mark.timeout(5)  # it waited 6 s for each ring
def test_an_unreachable_queue_delays_nothing() -> None:
    queue = CeleryJobQueue("redis+socket:///nowhere/at/all.sock")
    for _ in range(3):
        queue.ring("job_1", "cpu")
