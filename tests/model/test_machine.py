"""No crash, failure or interleaving makes an actor break what it promised."""

from __future__ import annotations

import asyncio
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.model.machine import KINDS, Machine, Step, Weather

_EXAMPLES = int(os.environ.get("RIVETKIT_MODEL_EXAMPLES", "1000"))
_SECONDS_PER_EXAMPLE = 0.1

STEPS = st.lists(st.tuples(st.sampled_from(KINDS), st.integers(0, 9)), min_size=10, max_size=50)
WEATHER = st.builds(
    Weather,
    seed=st.integers(0, 2**16),
    hook_seconds=st.sampled_from([0.0, 0.5, 6.0]),
    write_seconds=st.sampled_from([0.0, 0.0, 0.1]),
    consuming=st.booleans(),
)


@pytest.mark.timeout(60 + _SECONDS_PER_EXAMPLE * _EXAMPLES)
@settings(max_examples=_EXAMPLES, deadline=None)
@given(steps=STEPS, weather=WEATHER)
def test_every_life_keeps_its_promises(steps: list[Step], weather: Weather) -> None:
    asyncio.run(Machine(weather).run(steps))
