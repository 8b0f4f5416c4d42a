"""Metrics of one API process, in base units. Their names are public API."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

_REQUEST_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_INFERENCE_SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1)
_BATCH_ITEMS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
UNKNOWN_ROUTE = "none"


class Metrics:
    """Instruments of one API process, in their own registry."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        self.requests = Counter(
            "secateur_http_requests",
            "HTTP requests answered.",
            ("method", "route", "status"),
            registry=registry,
        )
        self.request_seconds = Histogram(
            "secateur_http_request_seconds",
            "Time from the head of a request to the end of its response.",
            ("method", "route"),
            buckets=_REQUEST_SECONDS,
            registry=registry,
        )
        self.queue_seconds = Histogram(
            "secateur_inference_queue_seconds",
            "Time that requests waited before their batch ran.",
            buckets=_INFERENCE_SECONDS,
            registry=registry,
        )
        self.compute_seconds = Histogram(
            "secateur_inference_compute_seconds",
            "Time of one run of a network, for a batch of any size.",
            buckets=_INFERENCE_SECONDS,
            registry=registry,
        )
        self.batch_items = Histogram(
            "secateur_inference_batch_items",
            "Number of items in one run.",
            buckets=_BATCH_ITEMS,
            registry=registry,
        )
        self.rejections = Counter(
            "secateur_inference_rejections",
            "Inference requests that were not computed, by error code.",
            ("reason",),
            registry=registry,
        )
        self.shadow_requests = Counter(
            "secateur_shadow_requests",
            "Requests selected for comparison with the dense parent, by outcome.",
            ("outcome",),  # compared | dropped | failed
            registry=registry,
        )
        self.shadow_compared = Counter(
            "secateur_shadow_compared", "Samples or values compared.", registry=registry
        )
        self.shadow_agreeing = Counter(
            "secateur_shadow_agreeing", "Compared samples or values that agree.", registry=registry
        )
        self.shadow_max_difference = Gauge(
            "secateur_shadow_max_difference",
            "Largest difference between two values since the process started.",
            registry=registry,
        )
        self.sessions_loaded = Gauge(
            "secateur_sessions_loaded", "Networks in memory.", registry=registry
        )
        self.session_bytes = Gauge(
            "secateur_session_bytes",
            "Total file size of the networks in memory.",
            registry=registry,
        )
        self.waiting_requests = Gauge(
            "secateur_inference_waiting_requests",
            "Requests waiting in the queues of all networks.",
            registry=registry,
        )
        self._children: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}

    def observe_request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count an answered request."""
        key = (method, route, status)
        children = self._children.get(key)
        if children is None:  # looking up a child by its labels costs more than counting
            children = self._children[key] = (
                self.requests.labels(method, route, str(status)),
                self.request_seconds.labels(method, route),
            )
        children[0].inc()
        children[1].observe(seconds)
