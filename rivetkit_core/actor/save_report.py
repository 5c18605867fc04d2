"""What is counted and logged of one actor's saves."""

from __future__ import annotations

from rivetkit_core.actor.logs import ActorLog
from rivetkit_core.metrics.recorder import Recorder
from rivetkit_core.wire.persisted import ActorRecord


class SaveReport:
    """Told by the saver. Times are of the actor's clock, in seconds."""

    def __init__(self, metrics: Recorder, log: ActorLog) -> None:
        self._metrics = metrics
        self._log = log

    def adopted(self, record: ActorRecord) -> None:
        self._metrics.count("state_mutation_total", "internal_replace")
        if record.input is not None and not record.has_initialized:
            self._metrics.count("state_mutation_total", "input_set")

    def planned(self) -> None:
        self._metrics.count("state_mutation_total", "scheduled_events_update")

    def initialized(self) -> None:
        self._metrics.count("state_mutation_total", "has_initialized")

    def written(self, record: ActorRecord, changes: int, revision: int, took: float) -> None:
        self._metrics.observe("state_save_duration_seconds", "success", seconds=took)
        if self._log.verbose:
            fields = {
                "delta_count": changes,
                "serialized_bytes": len(record.state),
                "save_request_revision": revision,
                "elapsed_us": round(took * 1e6),
            }
            self._log.debug("state saved", extra=fields)

    def failed(self, took: float) -> None:
        self._metrics.observe("state_save_duration_seconds", "error", seconds=took)

    def tries_again(self, delay: float, failure: Exception, attempt: int) -> None:
        self._log.error(
            "state could not be saved, trying again in %.1f s: %s",
            delay,
            failure,
            extra={"operation": "save", "attempt": attempt},
        )
