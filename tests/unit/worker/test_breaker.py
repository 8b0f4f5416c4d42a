from app.records.webhooks import Due
from worker.breaker import Breaker
from worker.delivery_turns import choose

ROUTE = ("a", "example.org")


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def due(tenant: str, rank: int, host: str = "example.org") -> Due:
    return Due(f"{tenant}{rank}", tenant, rank, float(rank), f"https://{host}/hook")


def test_a_route_rests_after_failures_in_a_row_and_longer_after_each_trial() -> None:
    clock = Clock()
    breaker = Breaker(3, 30, clock)
    for _ in range(2):
        breaker.record(ROUTE, is_answered=False)
    assert breaker.seconds_left(ROUTE) == 0
    breaker.record(ROUTE, is_answered=True)  # it was not in a row
    rests = []
    for _ in range(10):
        breaker.record(ROUTE, is_answered=False)
        rests.append(breaker.seconds_left(ROUTE))
        breaker.record(ROUTE, is_answered=False)  # sent before: it does not count
        assert breaker.seconds_left(ROUTE) == rests[-1]
        clock.now += rests[-1] + (rests[-1] == 0)
        if len(rests) == 1:
            breaker.record(ROUTE, is_answered=True)
            breaker.record(ROUTE, is_answered=False)
            breaker.record(ROUTE, is_answered=False)
    assert rests[1:8] == [30, 60, 120, 240, 480, 480, 480]
    assert breaker.seconds_left(("b", "example.org")) == 0  # another tenant's is not affected
    breaker.record(ROUTE, is_answered=True)
    assert not breaker.is_on_trial(ROUTE)


def test_tenants_take_turns_and_none_has_all_slots() -> None:
    waiting = [*(due("a", n) for n in range(1, 20)), due("b", 1), due("c", 1)]
    choice = choose(waiting, [], Breaker(3, 30), num_slots=6, per_tenant=4)
    assert choice.chosen[:3] == ["a1", "b1", "c1"]
    assert choice.chosen == ["a1", "b1", "c1", "a2", "a3", "a4"]


def test_a_resting_route_is_put_off_and_then_tried_once() -> None:
    clock = Clock()
    breaker = Breaker(1, 30, clock)
    breaker.record(ROUTE, is_answered=False)
    waiting = [due("a", 1), due("a", 2), due("a", 3, "other.org")]
    choice = choose(waiting, [], breaker, num_slots=9, per_tenant=4)
    assert (choice.chosen, choice.put_off) == (["a3"], {"a1": 30, "a2": 30})
    clock.now += 30
    assert choose(waiting, [], breaker, num_slots=9, per_tenant=4).chosen == ["a1", "a3"]
