"""What counting costs: the same call to an actor that counts and to one that does not."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from unittest.mock import patch

from benchmarks.actors import ACTORS, Throttled
from benchmarks.comparison import Comparison, Row, Setup, calling, counted
from rivetkit import Registry
from rivetkit_core.metrics.recorder import ActionMeter, Recorder

_COUNTING, _SILENT = "with metrics", "without"


class _SilentMeter(ActionMeter):
    def began(self) -> float:
        return 0.0

    def ended(self, began: float, *, failed: bool) -> float:
        return 0.0


class _SilentRecorder(Recorder):
    """Counts no calls; what else a call counts is an addition to a number."""

    def __init__(self, *about: object) -> None:
        super().__init__(*about)  # pyright: ignore[reportArgumentType]  # passed on as they come
        self._silent = _SilentMeter(self, "silent", "action")

    def action(self, name: str, *, scheduled: bool = False) -> ActionMeter:
        return self._silent


async def ask(setup: Setup) -> AsyncGenerator[Row]:
    registry = Registry(*ACTORS, data_dir=setup.directory())
    async with registry.lifespan():
        counting = registry.client.get_or_create(Throttled, "counting")
        silent = registry.client.get_or_create(Throttled, "silent")
        with patch("rivetkit_core.actor.parts.Recorder", _SilentRecorder):
            await silent.call(Throttled.increment, 0)
        compared = await Comparison.of(
            setup,
            "metrics",
            counted(1),
            calling(_COUNTING, [lambda: counting.call(Throttled.increment, 1)]),
            calling(_SILENT, [lambda: silent.call(Throttled.increment, 1)]),
        )
        yield compared.row(_COUNTING, _SILENT)
