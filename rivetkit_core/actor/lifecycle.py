"""The states of one generation. Only ``task`` moves from one to the next."""

from __future__ import annotations

import enum


class Lifecycle(enum.Enum):
    """Where a generation is; names as in the reference."""

    LOADING = "loading"
    STARTED = "started"
    SLEEP_GRACE = "sleep_grace"
    DESTROY_GRACE = "destroy_grace"
    SLEEP_FINALIZE = "sleep_finalize"
    DESTROYING = "destroying"
    TERMINATED = "terminated"


class StopKind(enum.Enum):
    """Why a generation ends: to be started again from storage, or for good."""

    SLEEP = "sleep"
    DESTROY = "destroy"


REFUSALS: dict[Lifecycle, str] = {
    Lifecycle.LOADING: "actor.not_ready",
    Lifecycle.SLEEP_FINALIZE: "actor.stopping",
    Lifecycle.DESTROY_GRACE: "actor.destroying",
    Lifecycle.DESTROYING: "actor.destroying",
    Lifecycle.TERMINATED: "actor.stopping",
}
"""What a caller is told, in the states that take no calls."""
