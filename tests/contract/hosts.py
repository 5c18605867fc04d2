"""Which hosts the suite runs on, and where they may differ."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from rivetkit_core.host.embedded.store import SqliteStore
from rivetkit_core.host.embedded.store_port import HostStore
from rivetkit_core.testing import MemoryStore
from tests.contract.serving import Embedded, Engine, Serving
from tests.engine_tables import open_in_tables
from tests.engines import RunningEngine

UNKNOWN_ID = "lvl94ko0z3r5ztd68p7aqsosn8dl00"
"""An id as an engine makes them, of no actor."""


@dataclass(frozen=True, kw_only=True)
class Differences:
    """What callers see that is not the same on every host. Actors and clients cannot tell them apart.

    Attributes:
        malformed_id: Status and identity for an id that no actor can have. The engine reads ids.
        no_route: Identity for a websocket that names no actor. The engine has no websockets of its own.
        call_during_destroy: Status and identity for a call by id while the actor ends. The engine lets the
            actor answer.
        start_failure_is_a_message: Whether a websocket is told why its actor could not start before it is
            closed. On the engine the host speaks, which can say more than a close frame.
        unclear: The identity with which a call may fail that crosses the end of an actor: whether it ran is
            not known. The engine says so now and then, in place of the answer.
    """

    malformed_id: tuple[int, str]
    no_route: str
    call_during_destroy: tuple[int, str]
    start_failure_is_a_message: bool
    unclear: str | None = None


DIFFERENCES: Mapping[type[Serving], Differences] = {
    Embedded: Differences(
        malformed_id=(404, "actor.not_found"),
        no_route="guard.no_route",
        call_during_destroy=(404, "actor.not_found"),
        start_failure_is_a_message=False,
    ),
    Engine: Differences(
        malformed_id=(500, "core.internal_error"),
        no_route="guard.websocket_not_supported",
        call_during_destroy=(503, "actor.destroying"),
        start_failure_is_a_message=True,
        unclear="guard.actor_stopped_while_waiting",
    ),
}

Make = Callable[[pytest.FixtureRequest], Serving]


def _sqlite(request: pytest.FixtureRequest) -> Serving:
    directory: Path = request.getfixturevalue("tmp_path")
    return Embedded(lambda: SqliteStore(directory / "data"))


def _memory(_request: pytest.FixtureRequest) -> Serving:
    store: HostStore = MemoryStore()
    return Embedded(lambda: store)


def _engine(request: pytest.FixtureRequest) -> Serving:
    running: RunningEngine = request.getfixturevalue("engine")
    return Engine(running)


def _engine_in_tables(request: pytest.FixtureRequest) -> Serving:
    """Every actor is one that another runtime ran before."""
    patch: pytest.MonkeyPatch = request.getfixturevalue("monkeypatch")
    patch.setattr("rivetkit_core.host.engine.hosted.open_storage", open_in_tables)
    return _engine(request)


EMBEDDED = [
    pytest.param(_sqlite, id="embedded-sqlite"),
    pytest.param(_memory, id="embedded-memory"),
]
ON_ENGINE = [pytest.param(_engine, id="engine", marks=pytest.mark.engine)]
HOSTS = [*EMBEDDED, *ON_ENGINE]
IN_TABLES = pytest.param(_engine_in_tables, id="engine-tables", marks=pytest.mark.engine)

also_in_tables = pytest.mark.parametrize("host", [*HOSTS, IN_TABLES], indirect=True)
"""For what actors store: on the engine it is in KV, or in tables where another runtime ran the actor."""


def embedded_only(reason: str) -> pytest.MarkDecorator:
    """For what is no promise of actors, or what the engine does in its own way; ``reason`` says which."""
    assert reason
    return pytest.mark.parametrize("host", EMBEDDED, indirect=True)


def engine_only(reason: str) -> pytest.MarkDecorator:
    """For what only a host whose gateway outlives it can do; ``reason`` says why."""
    assert reason
    return pytest.mark.parametrize("host", ON_ENGINE, indirect=True)
