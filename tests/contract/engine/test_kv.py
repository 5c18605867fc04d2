"""Keys and values of an actor (envoy-protocol 7.1)."""

from __future__ import annotations

import pytest

from rivetkit_core.wire.envoy.messages import (
    Checkpoint,
    KvDelete,
    KvDeleteDone,
    KvDeleteRange,
    KvDrop,
    KvDropDone,
    KvError,
    KvGet,
    KvGot,
    KvList,
    KvListed,
    KvPut,
    KvPutDone,
    KvRequestData,
    ListAll,
    ListPrefix,
    ListRange,
)
from tests.contract.engine.puppet import Puppet
from tests.contract.engine.side import Side


async def fill(envoy: Puppet, place: Checkpoint, *keys: bytes) -> None:
    stored = await envoy.kv(place.actor_id, KvPut(keys, keys))
    assert stored == KvPutDone()


async def listed(envoy: Puppet, place: Checkpoint, request: KvList) -> tuple[bytes, ...]:
    answer = await envoy.kv(place.actor_id, request)
    assert isinstance(answer, KvListed)
    return answer.keys


async def test_get_returns_existing_keys_in_the_order_of_the_request(
    envoy: Puppet, place: Checkpoint
) -> None:
    await fill(envoy, place, b"a", b"b")
    answer = await envoy.kv(place.actor_id, KvGet((b"b", b"missing", b"a", b"b")))
    assert isinstance(answer, KvGot)
    assert answer.keys == answer.values == (b"b", b"a", b"b")


async def test_metadata_runs_in_parallel(envoy: Puppet, place: Checkpoint) -> None:
    await fill(envoy, place, b"a")
    answer = await envoy.kv(place.actor_id, KvGet((b"a",)))
    assert isinstance(answer, KvGot)
    [metadata] = answer.metadata
    assert metadata.version
    assert metadata.update_ts > 1_600_000_000_000


async def test_the_last_of_two_equal_keys_in_one_put_wins(envoy: Puppet, place: Checkpoint) -> None:
    await envoy.kv(place.actor_id, KvPut((b"a", b"a"), (b"1", b"2")))
    answer = await envoy.kv(place.actor_id, KvGet((b"a",)))
    assert isinstance(answer, KvGot)
    assert answer.values == (b"2",)


@pytest.mark.parametrize(
    "request_data",
    [
        pytest.param(KvPut((), ()), id="no-keys"),
        pytest.param(KvPut((b"",), (b"",)), id="empty-key-and-value"),
        pytest.param(KvPut((b"k" * 2046,), (b"v",)), id="longest-key"),
        pytest.param(KvPut((b"\0" * 1023,), (b"v",)), id="longest-key-of-zeros"),
        pytest.param(KvPut((b"k",), (b"v" * 131_072,)), id="longest-value"),
        pytest.param(KvPut(tuple(b"%d" % n for n in range(128)), (b"v",) * 128), id="most-keys"),
    ],
)
async def test_a_put_up_to_the_limits_succeeds(
    envoy: Puppet, place: Checkpoint, request_data: KvRequestData
) -> None:
    assert await envoy.kv(place.actor_id, request_data) == KvPutDone()


@pytest.mark.parametrize(
    "request_data",
    [
        pytest.param(KvPut((b"k" * 2047,), (b"v",)), id="key"),
        pytest.param(KvPut((b"\0" * 1024,), (b"v",)), id="zeros-count-twice"),
        pytest.param(KvPut((b"k",), (b"v" * 131_073,)), id="value"),
        pytest.param(KvPut(tuple(b"%d" % n for n in range(129)), (b"v",) * 129), id="keys"),
        pytest.param(KvPut(tuple(b"%d" % n for n in range(8)), (b"v" * 131_072,) * 8), id="total"),
    ],
)
async def test_a_put_beyond_a_limit_changes_nothing(
    envoy: Puppet, place: Checkpoint, request_data: KvRequestData
) -> None:
    assert await envoy.kv(place.actor_id, request_data) == KvError("transaction failed")
    assert await listed(envoy, place, KvList(ListAll())) == ()


@pytest.mark.parametrize("kind", [KvGet, KvDelete])
async def test_too_many_keys_are_refused_with_a_reason(
    envoy: Puppet, place: Checkpoint, kind: type[KvGet] | type[KvDelete]
) -> None:
    answer = await envoy.kv(place.actor_id, kind(tuple(b"%d" % n for n in range(129))))
    assert isinstance(answer, KvError)
    assert answer.message


async def test_deleting_missing_keys_is_fine(envoy: Puppet, place: Checkpoint) -> None:
    await fill(envoy, place, b"a", b"b")
    assert await envoy.kv(place.actor_id, KvDelete((b"a", b"missing"))) == KvDeleteDone()
    assert await listed(envoy, place, KvList(ListAll())) == (b"b",)


async def test_a_list_is_in_byte_order(envoy: Puppet, place: Checkpoint) -> None:
    await fill(envoy, place, b"b", b"ab", b"a", b"\xff", b"")
    assert await listed(envoy, place, KvList(ListAll())) == (b"", b"a", b"ab", b"b", b"\xff")


async def test_a_reversed_list_with_a_limit_has_the_last_keys(envoy: Puppet, place: Checkpoint) -> None:
    await fill(envoy, place, b"a", b"b", b"c")
    assert await listed(envoy, place, KvList(ListAll(), reverse=True, limit=2)) == (b"c", b"b")


async def test_a_limit_of_zero_lists_nothing(envoy: Puppet, place: Checkpoint) -> None:
    await fill(envoy, place, b"a")
    assert await listed(envoy, place, KvList(ListAll(), limit=0)) == ()


@pytest.mark.parametrize(
    ("query", "keys"),
    [
        pytest.param(ListRange(b"a", b"c", exclusive=True), (b"a", b"ab", b"b"), id="exclusive"),
        pytest.param(ListRange(b"a", b"c", exclusive=False), (b"a", b"ab", b"b", b"c"), id="inclusive"),
        pytest.param(ListRange(b"c", b"a", exclusive=False), (), id="inverted"),
    ],
)
async def test_a_range_has_what_lies_between(
    envoy: Puppet, place: Checkpoint, query: ListRange, keys: tuple[bytes, ...]
) -> None:
    await fill(envoy, place, b"a", b"ab", b"b", b"c", b"ca")
    assert await listed(envoy, place, KvList(query)) == keys


@pytest.mark.parametrize(
    ("prefix", "keys"),
    [
        pytest.param(b"a", (b"a", b"a\xfe"), id="after-a-byte"),
        pytest.param(b"", (b"a", b"a\xfe", b"a\xff"), id="empty"),
        pytest.param(b"\xff", (b"\xff",), id="of-the-highest-byte"),
    ],
)
async def test_a_prefix_misses_keys_that_go_on_with_the_highest_byte(
    envoy: Puppet, place: Checkpoint, prefix: bytes, keys: tuple[bytes, ...]
) -> None:
    await fill(envoy, place, b"a", b"a\xfe", b"a\xff", b"\xff", b"\xff\xff")
    assert await listed(envoy, place, KvList(ListPrefix(prefix))) == keys


async def test_a_deleted_range_does_not_contain_its_end(envoy: Puppet, place: Checkpoint) -> None:
    await fill(envoy, place, b"a", b"b", b"c")
    assert await envoy.kv(place.actor_id, KvDeleteRange(b"a", b"c")) == KvDeleteDone()
    assert await listed(envoy, place, KvList(ListAll())) == (b"c",)


async def test_an_inverted_range_deletes_nothing(envoy: Puppet, place: Checkpoint) -> None:
    await fill(envoy, place, b"b")
    assert await envoy.kv(place.actor_id, KvDeleteRange(b"c", b"a")) == KvDeleteDone()
    assert await listed(envoy, place, KvList(ListAll())) == (b"b",)


async def test_drop_deletes_everything(envoy: Puppet, place: Checkpoint) -> None:
    await fill(envoy, place, b"a", b"\xff")
    assert await envoy.kv(place.actor_id, KvDrop()) == KvDropDone()
    assert await listed(envoy, place, KvList(ListAll())) == ()


async def test_an_actor_that_never_was_has_no_storage(envoy: Puppet, place: Checkpoint) -> None:
    swapped = place.actor_id[1:-4] + place.actor_id[0] + place.actor_id[-4:]
    assert await envoy.kv(swapped, KvGet((b"a",))) == KvError("actor does not exist")


async def test_a_malformed_id_is_an_error(envoy: Puppet) -> None:
    assert isinstance(await envoy.kv("?", KvGet((b"a",))), KvError)


async def test_storage_answers_before_the_actor_runs(side: Side, envoy: Puppet) -> None:
    actor_id = await side.create()
    await envoy.command()
    assert await envoy.kv(actor_id, KvPut((b"a",), (b"1",))) == KvPutDone()


async def test_writes_are_not_fenced_after_a_sleep(side: Side, envoy: Puppet, place: Checkpoint) -> None:
    await side.sleep(place.actor_id)
    await envoy.stop(place)
    assert await envoy.kv(place.actor_id, KvPut((b"a",), (b"1",))) == KvPutDone()
