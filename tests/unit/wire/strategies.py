"""Values, messages and broken bytes for property tests."""

from __future__ import annotations

import datetime as dt

from hypothesis import strategies as st

from rivetkit_core.errors import ActorSpecifier
from rivetkit_core.wire import cbor
from rivetkit_core.wire.messages import (
    ActionRequest,
    ActionResponse,
    ErrorMessage,
    Event,
    HttpError,
    Init,
    QueueSendRequest,
    QueueSendResponse,
    SubscriptionRequest,
)

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
u64 = st.integers(0, 2**64 - 1)
i64 = st.integers(-(2**63), 2**63 - 1)

_instants = st.datetimes(
    min_value=dt.datetime(1900, 1, 1),
    max_value=dt.datetime(2200, 1, 1),
    timezones=st.just(dt.UTC),
)
_json_leaves = st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | texts
_leaves = (
    _json_leaves
    | st.integers(-(2**80), 2**80)
    | st.floats(allow_nan=False).filter(lambda value: not value.is_integer())
    | st.binary(max_size=20)
    | _instants
    | st.sets(st.integers(2, 99) | texts, max_size=4)
)


def _nested(leaves: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    pairs = st.tuples(st.sampled_from(["$", "$x", "$$", "$BigInt"]), leaves).map(list)
    return st.recursive(
        leaves | pairs,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
        max_leaves=12,
    )


values: st.SearchStrategy[object] = _nested(_leaves)
json_values: st.SearchStrategy[object] = _nested(_json_leaves)

payloads = json_values.map(cbor.encode)
arguments = st.lists(json_values, max_size=3).map(cbor.encode)
_some_payloads = payloads.filter(lambda payload: payload != cbor.NULL)
_actors = st.none() | st.builds(ActorSpecifier, texts, u64, texts)

to_client = (
    st.builds(Init, texts, texts)
    | st.builds(ErrorMessage, texts, texts, texts, st.none() | _some_payloads, st.none() | u64, _actors)
    | st.builds(ActionResponse, u64, payloads)
    | st.builds(Event, texts, arguments)
)
to_server = st.builds(ActionRequest, u64, texts, arguments) | st.builds(
    SubscriptionRequest, texts, st.booleans()
)
queue_requests = st.builds(
    QueueSendRequest, payloads, st.none() | texts, st.booleans(), st.none() | st.integers(0, 2**53 - 1)
)
queue_responses = st.builds(
    QueueSendResponse, st.sampled_from(["completed", "timedOut"]), st.none() | payloads
)
http_errors = st.builds(
    HttpError,
    texts,
    texts,
    texts,
    st.none() | _some_payloads,
    st.none() | st.builds(ActorSpecifier, texts, st.integers(0, 2**32 - 1), texts),
)


@st.composite
def mutated(draw: st.DrawFn, source: st.SearchStrategy[bytes]) -> bytes:
    """Valid bytes with a few of them changed, removed or repeated."""
    data = bytearray(draw(source))
    for _ in range(draw(st.integers(1, 4))):
        if not data:
            break
        position = draw(st.integers(0, len(data) - 1))
        match draw(st.integers(0, 2)):
            case 0:
                data[position] = draw(st.integers(0, 255))
            case 1:
                del data[position : position + draw(st.integers(1, 4))]
            case _:
                data[position:position] = data[position : position + draw(st.integers(1, 4))]
    return bytes(data)
