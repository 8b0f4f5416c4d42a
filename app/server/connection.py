"""Limits on connections, on request heads, and on clients that do not read.

uvicorn has no such limits. Once a head is complete the middlewares take over. The private parts of
uvicorn that this file uses are in ``tests/unit/server/parts.py``.
"""

import asyncio
import json
import logging
import weakref
from functools import partial
from http import HTTPStatus
from typing import Any, cast

from starlette.types import Scope
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from app.contracts.errors import ServiceError
from app.contracts.ids import new_id
from app.contracts.settings import HttpSettings
from app.http.disconnect import put_exchange
from app.http.errors import BadRequestError, BusyError, HeadersTooLargeError, TooSlowError
from app.http.gate import ALIVE_PATH
from app.http.headers import complete_headers
from app.http.problems import MEDIA_TYPE, RETRY_AFTER_SECONDS, problem_body, status_of
from app.server.shedding import Shedding
from app.server.transports import AnswerTransport, has_hung_up, has_unread
from app.server.turns import Turns

log = logging.getLogger(__name__)

# Time to read and discard the rest of a body whose answer has already been sent.
_LINGER_SECONDS = 5.0
_WATCH_SECONDS = 0.5  # between looks at a paused connection
_SPARE_CONNECTIONS = 64  # connections above the limit, for requests to `/healthz` only
_UNAVAILABLE = b"HTTP/1.1 503 Service Unavailable\r\n"


class LimitedProtocol(HttpToolsProtocol):
    """One connection."""

    http: HttpSettings  # set by `limited_protocol`, like the next two
    shedding: Shedding
    turns: Turns

    def __init__(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401  # uvicorn's
        super().__init__(*arguments, **options)
        self._is_in_head, self._num_head_bytes = True, 0
        self._is_beyond = self._is_shed = False
        self._running: RequestResponseCycle | None = None
        self._is_ended = False  # the last answer has been sent; what still comes is discarded
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0  # time when the timer fires
        self._deadline: float | None = None  # time when it has to act
        self._write_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        """Accept a connection, or refuse it if there are too many."""
        super().connection_made(transport)
        self._answers = AnswerTransport(self.transport, weakref.WeakMethod(self.close_after_answer))
        self._is_beyond = len(self.connections) > self.http.connections
        if len(self.connections) > self.http.connections + _SPARE_CONNECTIONS:
            self._refuse_beyond()
            return
        self._start_timer(self.http.head_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        """Release the connection's slot."""
        self._stop_timer()
        if self._timer is not None:
            self._timer.cancel()
        self.resume_writing()
        running = self._running
        if running is not None and not running.response_complete:
            # uvicorn tells only the last request, which may wait behind this one.
            running.disconnected = True
            running.message_event.set()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse data, unless the head is too long or the last answer has been sent."""
        if self._is_ended:
            return
        if self._is_in_head:
            self._num_head_bytes += len(data)
            if self._num_head_bytes > self._most_head_bytes:
                self._refuse_head()
                return
        super().data_received(data)
        cycle = self._cycle
        is_idle = cycle is None or cycle.response_complete
        if self._is_shed:  # more of the body is to come
            self._start_timer(_LINGER_SECONDS)
        elif is_idle and self._deadline is None and self.timeout_keep_alive_task is None:
            # A blank line, or the end of an unwanted body: the connection is idle again.
            self._start_timer(self.http.keep_alive_seconds)

    def on_message_begin(self) -> None:
        """Begin a head; it may arrive in one piece with the end of the previous body."""
        super().on_message_begin()
        if not self._is_in_head:
            self._is_in_head, self._num_head_bytes = True, 0
            self._start_timer(self.http.head_seconds)

    def on_headers_complete(self) -> None:
        """Hand the request to the middlewares, which check the complete head."""
        self._is_in_head, self._num_head_bytes = False, 0
        self._stop_timer()
        if self._is_beyond and self.url.partition(b"?")[0] != ALIVE_PATH.encode():
            self._refuse_beyond()
            return
        if self._shed():
            return
        super().on_headers_complete()
        if self.pipeline:
            self._watch()

    def on_body(self, body: bytes) -> None:
        """Receive a piece of a body, unless its request was shed."""
        if not self._is_shed and not self.transport.is_closing():
            super().on_body(body)

    def on_message_complete(self) -> None:
        """End a body; the connection of a shed request is idle again."""
        self._stop_timer()
        if self._is_shed:
            self._is_shed = False
            self._start_timer(self.http.keep_alive_seconds)
        elif not self.transport.is_closing():
            super().on_message_complete()

    def close_after_answer(self) -> None:
        """Close the connection after its last answer: at once, unless a body is still arriving.

        Then only our side is closed at once. Closing both would reset the connection, and the
        client might lose the answer that tells it why.
        """
        if not self.cycle.more_body:
            self.transport.close()
            return
        self._is_ended = True
        self.transport.write_eof()
        self._start_timer(_LINGER_SECONDS)

    def on_response_complete(self) -> None:
        """Limit the time for the rest of a body whose answer has been sent."""
        if self._is_ended:
            self.flow.resume_reading()
            return
        is_last, has_more = not self.pipeline, self.cycle.more_body
        super().on_response_complete()
        if is_last and has_more and not self.transport.is_closing():
            self._start_timer(_LINGER_SECONDS)

    def pause_writing(self) -> None:
        """Limit the time that a client may leave its response unread."""
        super().pause_writing()
        if self._write_timer is None:
            seconds = self.http.write_stall_seconds
            self._write_timer = self.loop.call_later(seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """Stop the timer: the client is reading again."""
        super().resume_writing()
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None

    def timeout_keep_alive_handler(self) -> None:
        """Close an idle connection, unless its next request has arrived unread."""
        if not has_unread(self.transport):
            super().timeout_keep_alive_handler()

    def send_400_response(self, msg: str) -> None:
        """Refuse a request that is not HTTP."""
        self._refuse(BadRequestError(msg))

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        """Start a request: `/healthz` at once, any other when its turn comes."""
        put_exchange(cast("Scope", cycle.scope), cycle)
        self._running = cycle
        cycle.transport = cast("asyncio.Transport", self._answers)
        start = partial(super()._start_asgi_task, cycle, app)
        if cycle.scope["path"] == ALIVE_PATH:
            start()
        else:
            self.turns.begin(start)

    @property
    def _cycle(self) -> RequestResponseCycle | None:
        return cast("RequestResponseCycle | None", self.cycle)  # None before the first request

    @property
    def _most_head_bytes(self) -> int:
        # Data from the network may also hold the method, the version and the start of a body.
        http = self.http
        return http.path_bytes + http.query_bytes + http.header_bytes + self._read_bytes

    _read_bytes = 256 * 1024

    def _watch(self) -> None:
        """Look now and then whether the client has hung up while a second request waits.

        uvicorn reads nothing meanwhile, so it would not notice before the first response ends.
        """
        if self.transport.is_closing() or not self.pipeline:
            return
        if has_hung_up(self.transport):
            self.transport.abort()
        else:
            self.loop.call_later(_WATCH_SECONDS, self._watch)

    def _start_timer(self, seconds: float) -> None:
        """Call `_time_is_up` after some seconds, unless the timer is restarted or stopped.

        An existing timer fires early and is then set for the rest. This costs a twentieth of
        cancelling it and making a new one, several times per request.
        """
        self._deadline = self.loop.time() + seconds
        if self._timer is None or self._timer_at > self._deadline:
            self._arm(self._deadline)

    def _stop_timer(self) -> None:
        self._deadline = None

    def _arm(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._timer_at = self.loop.call_at(when, self._fire), when

    def _fire(self) -> None:
        self._timer = None
        if self._deadline is not None and self._deadline > self.loop.time():
            self._arm(self._deadline)
        elif self._deadline is not None:
            self._deadline = None
            self._time_is_up()

    def _time_is_up(self) -> None:
        if self.transport.is_closing():
            return
        if self._is_ended:
            self.transport.close()
        elif self._is_beyond:
            self._refuse_beyond()
        elif self._is_in_head and self._num_head_bytes:
            seconds = self.http.head_seconds
            self._refuse(TooSlowError(f"the request line and headers did not end in {seconds:g} s"))
        elif not has_unread(self.transport):
            self.transport.close()

    def _shed(self) -> bool:
        """Refuse the request unread if its model's queue is full; return whether it was refused."""
        cycle = self._cycle
        if cycle is not None and not cycle.response_complete:
            return False  # responses must have the order of their requests
        if not self.parser.should_keep_alive():
            return False
        method, num_before = self.parser.get_method(), self.turns.num_begun
        found = self.shedding.refusal(method, self.url, self.headers, num_before)
        if found is None:
            return False
        head, body = found
        own = b"".join(b"%s: %s\r\n" % pair for pair in self.server_state.default_headers)
        self.transport.write(_UNAVAILABLE + own + head + b"\r\n" + body)
        self._is_shed = True
        return True

    def _refuse_beyond(self) -> None:
        self._refuse(
            BusyError(f"{self.http.connections} connections are open, the limit; try again soon")
        )

    def _refuse_head(self) -> None:
        num_bytes = self.http.header_bytes
        self._refuse(
            HeadersTooLargeError(f"the headers have more than {num_bytes} bytes, the limit")
        )

    def _refuse(self, error: ServiceError) -> None:
        """Send a refusal and close the connection."""
        if self.transport.is_closing():
            return
        cycle = self._cycle
        if cycle is not None and cycle.response_started and not cycle.response_complete:
            self.transport.close()  # part of a response has been sent, so nothing may be inserted
            return
        request_id, status = new_id("req"), status_of(error)
        body = json.dumps(problem_body(error, "", request_id)).encode()
        message: dict[str, Any] = {
            "headers": [
                *self.server_state.default_headers,
                (b"content-type", MEDIA_TYPE.encode()),
                (b"content-length", str(len(body)).encode()),
                (b"connection", b"close"),
            ]
        }
        if status is HTTPStatus.SERVICE_UNAVAILABLE:
            message["headers"].append((b"retry-after", RETRY_AFTER_SECONDS.encode()))
        complete_headers(message, request_id)
        head = b"HTTP/1.1 %d %s\r\n" % (status, status.phrase.encode())
        head += b"".join(b"%s: %s\r\n" % pair for pair in message["headers"])
        log.info("request.refused: %s %s (%s)", int(status), error.message, request_id)
        self.transport.write(head + b"\r\n" + body)
        self.transport.close()


def limited_protocol(settings: HttpSettings, shedding: Shedding) -> type[LimitedProtocol]:
    """Return the protocol class; uvicorn instantiates it for each connection."""
    parts = {"http": settings, "shedding": shedding, "turns": Turns()}
    return type("LimitedProtocol", (LimitedProtocol,), parts)
