"""TTL cache of the models that inference serves, read from their rows."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial

from app.contracts.errors import ConflictError
from app.contracts.spec import PreprocessSpec
from app.contracts.task_spec import StoredTask
from app.inference.options import refuse_without_int8
from app.models.service import find
from app.records.database import Sessions, reading
from app.records.stored import variants_of, verdict_of
from app.records.tables import ModelRow
from app.ttl_cache import TtlCache

# Only the name of a ready model can change. Its deletion may go unnoticed for this long.
_KNOWN_SECONDS = 5.0
_SHADOW_SHARE = "shadow_share"  # a key of a model's metadata


@dataclass(frozen=True)
class Servable:
    """The fields of a model's row that inference needs.

    Attributes:
        id: Id of the row.
        tenant: Its tenant.
        version: Version under the model's name.
        onnx_sha256: SHA-256 of the served ONNX file.
        int8_sha256: SHA-256 of its int8 form; None if it has none.
        int8_reason: Why it has an int8 form or none.
        variants: Forms that can be asked for, besides comparisons.
        preprocess: Preprocessing from an image to the network's input.
        class_names: Names in the order of the scores.
        parent_id: The model it was pruned from.
        shadow_share: Share of requests that the parent also computes; None: the setting's share.
        output_kinds: Kind of each output by name, found by `worker`; empty for models stored
            before kinds existed.
        task: The task of its job, and the form of its outputs; None for models without one.
        is_preprocess_given: Whether the model's data set came with preprocessing; an uploaded model
            has none, so images are only scaled to [0, 1].
    """

    id: str
    tenant: str
    version: str
    onnx_sha256: str
    preprocess: PreprocessSpec
    class_names: tuple[str, ...] | None
    parent_id: str | None = None
    shadow_share: float | None = None
    output_kinds: Mapping[str, str] = field(default_factory=dict)
    is_preprocess_given: bool = True
    task: StoredTask | None = None
    int8_sha256: str | None = None
    int8_reason: str = ""
    variants: tuple[str, ...] = ("pruned",)

    def as_int8(self) -> "Servable":
        """Return the same model, served from its int8 file.

        Raises:
            InvalidInputError: It has none.
        """
        if self.int8_sha256 is None:
            raise refuse_without_int8(self.id, self.int8_reason, self.variants)
        return replace(self, onnx_sha256=self.int8_sha256)


class Servables:
    """Servable models by tenant and id."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self._known = TtlCache[tuple[str, str], Servable](_KNOWN_SECONDS)

    async def find(self, tenant: str, model_id: str) -> Servable:
        """Return a ready model.

        Raises:
            NotFoundError: There is no such model.
            ConflictError: The model is not ready.
        """
        read = partial(self._read, tenant, model_id)
        return await self._known.get((tenant, model_id), read)

    def _read(self, tenant: str, model_id: str) -> Servable:
        with reading(self._sessions) as session:
            row = find(session, tenant, model_id)
        if row.status != "ready" or row.onnx_sha256 is None:
            raise ConflictError(f"model {row.id} is {row.status}: it cannot be served")
        return Servable(
            row.id,
            tenant,
            row.version,
            row.onnx_sha256,
            PreprocessSpec.model_validate(row.preprocess or {}),
            tuple(row.class_names) if row.class_names else None,
            row.parent_id,
            _shadow_share(row),
            {str(out.get("name")): str(out.get("kind")) for out in verdict_of(row).outputs or ()},
            row.preprocess is not None,
            verdict_of(row).task,
            row.int8_sha256,
            _int8_reason(row),
            variants_of(row),
        )


def _int8_reason(row: ModelRow) -> str:
    """Return why a model has an int8 form or none, in a sentence."""
    found = verdict_of(row).int8
    if found is not None:
        return found.reason
    if row.job_id is None:
        return "It was uploaded; jobs with precision.kind int8 make int8 files."
    return "Its job was not asked for one: set precision.kind to int8 in the config."


def _shadow_share(row: ModelRow) -> float | None:
    """Return the share in the metadata if it is valid: users write metadata unchecked."""
    try:
        share = float(row.meta.get(_SHADOW_SHARE, ""))
    except ValueError:
        return None
    return share if 0 <= share <= 1 else None
