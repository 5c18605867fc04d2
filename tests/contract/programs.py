"""Runs code of a test inside of an actor, on whatever host."""

from __future__ import annotations

from tests.contract.client import RawClient, Target, by_key
from tests.contract.storage_actors import Program, given

STORES = by_key("stores", "a")
STRICT = by_key("strictStores", "a")


async def inside(
    client: RawClient, program: Program, target: Target = STORES, action: str = "run_program"
) -> object:
    """The action's answer; what the program raised is raised here."""
    given.program, given.failure = program, None
    answer = await client.post(target, action)
    failure, given.failure = given.failure, None
    if failure is not None:
        raise failure
    assert answer.status_code == 200, answer.content
    return answer
