"""What the workers of the tests serve."""

from __future__ import annotations

import os

from pydantic import BaseModel

from rivetkit import Actor, Registry, action, actor


class PlaceState(BaseModel):
    count: int = 0


@actor(name="place", durability="strict")
class Place(Actor):
    """Counts, and tells where it runs."""

    state: PlaceState

    @action
    async def add(self) -> int:
        self.state.count += 1
        return self.state.count

    @action
    async def process(self) -> int:
        return os.getpid()

    @action
    async def version(self) -> str:
        return os.environ.get("RIVET_ENVOY_VERSION", "")


registry = Registry(Place)
