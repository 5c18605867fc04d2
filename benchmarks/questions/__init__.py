"""The questions by name, in the order they are asked."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable

from benchmarks.comparison import Row, Setup
from benchmarks.questions import (
    alarms,
    creation,
    durability,
    engine_real,
    engine_wire,
    fan_out,
    http,
    in_process,
    large_state,
    live,
    many_actors,
    memory,
    metrics,
    queue,
    sleeping,
    virtual_time,
)

Question = Callable[[Setup], AsyncGenerator[Row]]

QUESTIONS: dict[str, Question] = {
    "http": http.ask,
    "live": live.ask,
    "in_process": in_process.ask,
    "many_actors": many_actors.ask,
    "durability": durability.ask,
    "fan_out": fan_out.ask,
    "creation": creation.ask,
    "memory": memory.ask,
    "metrics": metrics.ask,
    "sleeping": sleeping.ask,
    "alarms": alarms.ask,
    "queue": queue.ask,
    "virtual_time": virtual_time.ask,
    "large_state": large_state.ask,
    "engine_wire": engine_wire.ask,
    "engine_real": engine_real.ask,
}
