"""Which due deliveries to send next: tenants take turns, and silent receivers rest."""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from app.records.webhooks import Delivery, Due
from worker.breaker import Breaker, Route


@dataclass
class Choice:
    """Deliveries to send now, and those to put off, each with the seconds, by id."""

    chosen: list[str] = field(default_factory=list)
    put_off: dict[str, float] = field(default_factory=dict)


def route_of(delivery: Delivery | Due) -> Route:
    """Return a delivery's tenant and the host and port that it goes to."""
    return delivery.tenant, urlsplit(delivery.url).netloc


def choose(
    due: Sequence[Due],
    in_flight: Collection[Delivery],
    breaker: Breaker,
    *,
    num_slots: int,
    per_tenant: int,
) -> Choice:
    """Choose deliveries for free slots.

    Args:
        due: Due deliveries, with the oldest of each tenant first.
        in_flight: Deliveries being sent.
        breaker: Knows the receivers that rest.
        num_slots: Free slots.
        per_tenant: Most deliveries of one tenant in flight.
    """
    busy = Counter(delivery.tenant for delivery in in_flight)
    trying = {route_of(delivery) for delivery in in_flight}
    order = sorted(due, key=lambda each: (busy[each.tenant] + each.rank, each.not_before))
    choice = Choice()
    for each in order:
        route = route_of(each)
        seconds = breaker.seconds_left(route)
        if seconds > 0:
            choice.put_off[each.id] = seconds
        elif (
            len(choice.chosen) < num_slots
            and busy[each.tenant] < per_tenant
            and not (breaker.is_on_trial(route) and route in trying)
        ):
            choice.chosen.append(each.id)
            busy[each.tenant] += 1
            trying.add(route)
    return choice
