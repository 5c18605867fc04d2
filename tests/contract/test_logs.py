"""What a busy host logs about its actors, and what it never does, on every host (actor-runtime 13.3)."""

from __future__ import annotations

import logging
from typing import cast

import pytest

from tests.contract.actors import Probe
from tests.contract.client import RawClient, by_key
from tests.contract.serving import METRICS_TOKEN

SECRET = "correct horse battery staple"


def shown(record: logging.LogRecord) -> str:
    """Everything that a formatter could show of a record."""
    return f"{record.getMessage()} {vars(record)!r}"


async def test_a_busy_host_logs_no_payload_and_no_secret(
    client: RawClient, probe: Probe, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    target = by_key("counter", "a")
    headers = {"x-rivet-conn-params": f'{{"password": "{SECRET}"}}'}
    assert await client.call(target, "echo", SECRET, headers=headers) == SECRET
    await client.post(target, "unknown", SECRET)
    async with client.connect(target, params={"password": SECRET}) as socket:
        await socket.init()
        assert await socket.call(1, "echo", SECRET) == SECRET
    await probe.disconnected.wait()
    authorization = {"authorization": f"Bearer {METRICS_TOKEN}"}
    await client.http.get(client.url(target, "/metrics"), headers=authorization)
    ours = [record for record in caplog.records if record.name.startswith("rivetkit")]
    assert len(ours) > 10
    assert [record.getMessage() for record in ours if SECRET in shown(record)] == []
    assert [record.getMessage() for record in ours if METRICS_TOKEN in shown(record)] == []


async def test_every_record_of_an_actor_says_which(
    client: RawClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="rivetkit.actor")
    target = by_key("counter", "a,b")
    await client.call(target, "increment")
    actor_id, _, generation = cast("list[object]", await client.call(target, "whoami"))
    seen = {
        (fields["actor_id"], fields["actor_name"], tuple(fields["actor_key"]), fields["generation"])
        for fields in map(vars, caplog.records)
        if fields["name"] == "rivetkit.actor"
    }
    assert seen == {(actor_id, "counter", ("a", "b"), generation)}
