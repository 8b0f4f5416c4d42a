"""Operations of the serving process, by name: each takes a frame and returns the answer's parts."""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import onnxruntime as ort

from app.contracts.errors import ServiceError, TooLargeError
from app.contracts.onnx_files import OnnxError, check_onnx
from app.contracts.settings import InferenceSettings, LimitSettings
from app.contracts.spec import PreprocessSpec
from app.serving.bfloat16 import as_type
from app.serving.description import Arrays, TensorSpec
from app.serving.foresight import is_foreseen
from app.serving.frames import Frame
from app.serving.held import Held
from app.serving.images import decode_images
from app.serving.measure import measure
from app.serving.memory import Meter, given_back_in_steps, trim
from app.serving.providers import load_libraries
from app.serving.sessions import (
    RunError,
    Session,
    create_arena,
    open_session,
    run,
    unforeseen_bytes,
)

_SHRINK_BYTES = 16 * 1024**2  # a run that takes more returns its memory; it costs page faults
_MOST_STOPPED = 10_000
# How long a file waits for the one before it. ONNX Runtime may compute constants for minutes.
_ALONE_SECONDS = 0.5
_SHOWN_CHARACTERS = 300

Answer = tuple[dict[str, Any], Arrays]


@dataclass(frozen=True)
class Limits:
    """Limits of one process.

    Attributes:
        inference: Settings of serving.
        files: Limits on files.
    """

    inference: InferenceSettings
    files: LimitSettings


class Calls:
    """The sessions of one process, and the operations on them. Safe to use on several threads."""

    def __init__(self, limits: Limits, meter: Meter) -> None:
        self._limits, self._meter = limits, meter
        load_libraries(limits.inference.provider)
        create_arena(limits.inference)
        self._sessions: dict[str, Session] = {}
        self._held = Held()
        self._counting, self._num_unforeseen = threading.Lock(), 0
        self._loading = threading.Lock()  # one file at a time if it can be: memory is measured
        self._running: dict[int, ort.RunOptions] = {}
        self._stopped: set[int] = set()
        self._operations: Mapping[str, Callable[[Frame], Answer]] = {
            "load": self._load,
            "run": self._run,
            "decode": self._decode,
            "drop": self._drop,
            "unload": self._unload,
            "stop": self._stop,
            "ping": self._ping,
        }

    def answer(self, frame: Frame) -> Answer:
        """Return the answer to a frame; a failure is an answer with ``error`` and ``message``."""
        try:
            return self._operations[frame.head["op"]](frame)
        except Exception as error:  # noqa: BLE001  # ONNX Runtime's errors share no base class
            code, message = _explain(error)
            return {"error": code, "message": message}, {}

    def _load(self, frame: Frame) -> Answer:
        """Check, open and measure a file, and hold its session under a key.

        Beside a slow file, which is another tenant's, memory that both take counts for both.
        """
        data = frame.arrays.pop("file").tobytes()
        num_bytes = len(data)
        is_alone = self._loading.acquire(timeout=_ALONE_SECONDS)
        try:
            before = self._meter.now()
            known = is_foreseen(check_onnx(data, self._limits.files).graph)
            session = open_session(data, self._limits.inference, is_foreseen=known)
            del data
            trim()
            num_bytes = max(num_bytes, self._meter.now() - before)
        finally:
            if is_alone:
                self._loading.release()
        model = measure(session, self._limits.inference, self._meter)
        model = replace(model, num_bytes=num_bytes)
        self._sessions[frame.head["key"]] = replace(session, model=model)
        trim()
        return {"model": model.to_json()}, {}

    def _run(self, frame: Frame) -> Answer:
        """Compute one batch with a held session."""
        session = self._sessions.get(frame.head["key"])
        if session is None:
            return {"error": "unloaded", "message": "the model is not loaded"}, {}
        arrays = frame.arrays
        for name, places in frame.head.get("held", {}).items():
            images = self._held.find(places)
            if images is None:
                return {"error": "unloaded", "message": "the images are gone"}, {}
            arrays[name] = images
        options = ort.RunOptions()
        self._running[frame.number] = options
        try:
            if frame.number in self._stopped:
                raise RunError("stopped", "the run was stopped")
            num_items = max((len(a) if a.ndim else 1 for a in arrays.values()), default=1)
            cost = session.model.cost
            expected = cost.run_bytes + (num_items - 1) * cost.item_bytes
            is_shrunk = not session.is_foreseen or not cost.item_seconds or expected > _SHRINK_BYTES
            with self._arena(session):
                outputs, seconds = run(
                    session, arrays, frame.head["outputs"], options, is_shrunk=is_shrunk
                )
        finally:
            del self._running[frame.number]
            self._stopped.discard(frame.number)
        num_bytes = sum(array.nbytes for array in outputs.values())
        most = self._limits.inference.answer_bytes
        if num_bytes > most:
            raise TooLargeError(
                f"the outputs have {num_bytes} bytes, at most {most} are allowed: send fewer items "
                "per request, or ask for fewer outputs"
            )
        return {"seconds": seconds}, outputs

    @contextmanager
    def _arena(self, session: Session) -> Iterator[None]:
        """Explain a lack of memory in a run with unforeseen sizes: does it alone take too much?"""
        if session.is_foreseen:
            yield
            return
        with self._counting:
            self._num_unforeseen += 1
            is_alone = self._num_unforeseen == 1
        try:
            yield
        except RunError as error:
            if error.code != "memory" or not is_alone or self._num_unforeseen > 1:
                raise
            limit = unforeseen_bytes(self._limits.inference)
            raise TooLargeError(
                f"the run needs more memory than is left of {limit} bytes, the limit for models "
                "whose sizes cannot be foreseen: send smaller inputs, or fewer items per request"
            ) from error
        finally:
            with self._counting:
                self._num_unforeseen -= 1

    def _decode(self, frame: Frame) -> Answer:
        """Decode image files into a network's inputs, and keep these under a key."""
        head, limits = frame.head, self._limits
        spec = TensorSpec.from_json(head["spec"])
        images, sizes = decode_images(
            [file.tobytes() for file in frame.arrays.values()],
            spec,
            PreprocessSpec.model_validate(head["preprocess"]),
            limits.files.image_pixels,
            limits.inference.image_bytes,
            lambda: frame.number in self._stopped,
        )
        kept = as_type(spec, images)
        if kept is not images:
            given_back_in_steps(kept)
        self._held.put(head["key"], kept)
        return {"shape": kept.shape, "dtype": kept.dtype.name, "sizes": sizes}, {}

    def _drop(self, frame: Frame) -> Answer:
        """Let go of decoded images."""
        self._held.drop(frame.head["key"])
        return {}, {}

    def _unload(self, frame: Frame) -> Answer:
        """Destroy a session and return its memory to the system."""
        self._sessions.pop(frame.head["key"], None)
        trim()
        return {}, {}

    def _stop(self, frame: Frame) -> Answer:
        """Terminate a run, or refuse it if it has not begun."""
        number = frame.head["call"]
        if len(self._stopped) < _MOST_STOPPED:
            self._stopped.add(number)
        options = self._running.get(number)
        if options is not None:
            options.terminate = True
        return {}, {}

    def _ping(self, _frame: Frame) -> Answer:
        return {"bytes": self._meter.now()}, {}


def _explain(error: Exception) -> tuple[str, str]:
    """Return code and message of an error."""
    match error:
        case RunError():
            return error.code, str(error)
        case OnnxError():
            return "refused", f"the model's ONNX file {error}"
        case TooLargeError():
            return "too_large", error.message
        case ServiceError():
            return "input", error.message
        case MemoryError():
            return "memory", "the serving process has too little memory"
        case _:  # ONNX Runtime cannot open the file
            first = str(error).partition("\n")[0][:_SHOWN_CHARACTERS]
            return "internal", f"ONNX Runtime refuses the model's file: {first}"
