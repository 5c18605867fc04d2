"""The channel to a Node program, with a program written for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.harness.node import Message, NodeDied, NodeError, NodeProcess

pytestmark = pytest.mark.interop

CHANNEL = Path(__file__).with_name("channel.mjs").as_uri()
PROGRAM = f"""
import {{ push, serve }} from "{CHANNEL}";
let release;
const released = new Promise((resolve) => (release = resolve));
await serve(
  {{
    echo: (request) => request.value,
    shout: () => push({{ heard: true }}),
    wait: () => released.then(() => "released"),
    release: () => release(),
    fail: () => {{ throw new Error("no"); }},
    die: () => process.exit(3),
    hang: () => new Promise(() => {{}}),
  }},
  (failure) => ({{ message: failure.message }}),
  () => {{}},
);
"""


@pytest.fixture
def pushed() -> list[Message]:
    return []


@pytest.fixture
async def node(tmp_path: Path, pushed: list[Message]) -> AsyncIterator[NodeProcess]:
    script = tmp_path / "program.mjs"
    script.write_text(PROGRAM)
    async with NodeProcess(script, pushed.append) as running:
        yield running


async def test_requests_overlap(node: NodeProcess) -> None:
    async with asyncio.TaskGroup() as requests:
        waiting = requests.create_task(node.request("wait"))
        assert await node.request("echo", value={"a": "ü"}) == {"a": "ü"}
        await node.request("release")
    assert waiting.result() == "released"


async def test_what_the_program_says_by_itself_is_handed_on(node: NodeProcess, pushed: list[Message]) -> None:
    await node.request("shout")
    assert pushed == [{"heard": True}]


@pytest.mark.parametrize(("operation", "message"), [("fail", "no"), ("nope", "unknown operation nope")])
async def test_a_failed_operation_raises(node: NodeProcess, operation: str, message: str) -> None:
    with pytest.raises(NodeError, match=message):
        await node.request(operation)


async def test_a_program_that_dies_fails_whoever_waits(node: NodeProcess) -> None:
    with pytest.raises(NodeDied):
        await node.request("die")
    with pytest.raises(NodeDied):
        await node.request("echo")


async def test_a_program_that_hangs_is_not_waited_for(node: NodeProcess) -> None:
    with pytest.raises(TimeoutError):
        await node.request("hang", answer_timeout=0.05)
