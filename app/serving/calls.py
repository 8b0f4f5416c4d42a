"""Operations of the serving process, by name: each takes a frame and returns the answer's parts."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from app.contracts.errors import ServiceError, TooLargeError
from app.contracts.onnx_files import OnnxError, check_onnx
from app.contracts.settings import InferenceSettings, LimitSettings
from app.contracts.spec import PreprocessSpec
from app.serving.bfloat16 import as_type
from app.serving.description import Arrays, TensorSpec
from app.serving.frames import Frame
from app.serving.held import Held
from app.serving.images import allocate, decode_images
from app.serving.measure import give_back, measure
from app.serving.memory import Meter, trim
from app.serving.sessions import RunError, Session, open_session, run

_SHRINK_BYTES = 16 * 1024**2  # a run that takes more returns its memory; it costs page faults
# Sizes may depend on values, so a run may take more than was measured. What it then keeps is
# looked for after runs that lasted long enough to fill it.
_KEPT_BYTES, _FILLING_SECONDS = 64 * 1024**2, 0.005
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
        self._sessions: dict[str, Session] = {}
        self._held = Held()
        self._loading = threading.Lock()  # one file at a time if it can be: memory is measured
        self._usual_bytes = meter.now()  # memory in use after the last load or look
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
            check_onnx(data, self._limits.files)
            session = open_session(data, self._limits.inference)
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
        self._usual_bytes = self._used_bytes()
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
            is_shrunk = not cost.item_seconds or expected > _SHRINK_BYTES
            outputs, seconds = run(
                session, arrays, frame.head["outputs"], options, is_shrunk=is_shrunk
            )
        finally:
            del self._running[frame.number]
            self._stopped.discard(frame.number)
        if not is_shrunk and seconds > _FILLING_SECONDS:
            self._give_back(session)
        num_bytes = sum(array.nbytes for array in outputs.values())
        most = self._limits.inference.answer_bytes
        if num_bytes > most:
            raise TooLargeError(
                f"the outputs have {num_bytes} bytes, at most {most} are allowed: send fewer items "
                "per request, or ask for fewer outputs"
            )
        return {"seconds": seconds}, outputs

    def _give_back(self, session: Session) -> None:
        """Return a run's memory if far more is in use than was."""
        if self._used_bytes() > self._usual_bytes + _KEPT_BYTES:
            give_back(session, self._limits.inference)
            trim()
            self._usual_bytes = self._used_bytes()

    def _used_bytes(self) -> int:
        """Return the memory in use besides images, which come and go."""
        return max(0, self._meter.now() - self._held.num_bytes)

    def _decode(self, frame: Frame) -> Answer:
        """Decode image files into a network's inputs, and keep these under a key."""
        head, limits = frame.head, self._limits
        spec, key = TensorSpec.from_json(head["spec"]), head["key"]

        def make(shape: tuple[int, ...]) -> NDArray[np.float32]:
            array = allocate(shape, limits.inference.image_bytes)
            self._held.put(key, array)  # counts as held while it is filled
            return array

        try:
            images = decode_images(
                [file.tobytes() for file in frame.arrays.values()],
                spec,
                PreprocessSpec.model_validate(head["preprocess"]),
                limits.files.image_pixels,
                lambda: frame.number in self._stopped,
                make,
            )
            kept = as_type(spec, images)
        except BaseException:
            self._held.drop(key)
            raise
        self._held.put(key, kept)
        return {"shape": kept.shape, "dtype": kept.dtype.name}, {}

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
