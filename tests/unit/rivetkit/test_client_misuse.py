"""What a client says when it is called in a way a type checker would have refused."""

from __future__ import annotations

from typing import Any

import pytest

from rivetkit import Actor, Client, Event, Registry, RivetError, ValidationError, action, actor


@actor(name="lamp")
class Lamp(Actor):
    changed = Event[int]()

    @action
    async def dim(self, by: int, times: int = 1) -> int:
        return by * times


@pytest.fixture
def client() -> Client:
    return Client("http://127.0.0.1:1")


@pytest.mark.parametrize(
    ("key", "message"),
    [
        pytest.param(5, "a string or a list of strings, not 5", id="number"),
        pytest.param(None, "a string or a list of strings, not None", id="none"),
        pytest.param(b"a", "a string or a list of strings, not b'a'", id="bytes"),
        pytest.param(["a", 1], "consists of strings, not 1: write '1'", id="part"),
    ],
)
async def test_a_key_is_made_of_strings(client: Client, key: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        client.get_or_create(Lamp, key)


async def test_a_name_in_place_of_a_class_leads_to_the_method_for_names(client: Client) -> None:
    name: Any = "lamp"
    with pytest.raises(TypeError, match=r"get_or_create_by_name\('lamp', key\)"):
        client.get(name)


async def test_an_instance_in_place_of_a_class_is_refused(client: Client) -> None:
    lamp: Any = Lamp()
    with pytest.raises(TypeError, match="named by its class"):
        client.get(lamp)


@pytest.mark.parametrize(
    ("ref", "message"),
    [
        pytest.param("dim", r"call_by_name\('dim'\)", id="name"),
        pytest.param(Lamp().dim, "as in Room.post, not by", id="method"),
        pytest.param(Lamp.changed, r"not by EventRef\('changed'\)", id="event"),
    ],
)
async def test_an_action_is_given_by_reference(client: Client, ref: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        await client.get(Lamp).call(ref)


@pytest.mark.parametrize(
    ("ref", "message"),
    [
        pytest.param("changed", r"events_by_name\('changed'\)", id="name"),
        pytest.param(Lamp.dim, r"not by ActionRef\('dim'\)", id="action"),
    ],
)
async def test_an_event_is_given_by_reference(client: Client, ref: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        client.get(Lamp).connect().events(ref)


async def test_a_wrong_argument_is_named_in_the_message(client: Client) -> None:
    by: Any = "much"
    with pytest.raises(ValidationError, match="Invalid action `dim` arguments: by: Input should be a valid"):
        await client.get(Lamp).call(Lamp.dim, by)


async def test_further_findings_are_counted(client: Client) -> None:
    wrong: Any = "much"
    with pytest.raises(ValidationError, match=r"\(and 1 more\)"):
        await client.get(Lamp).call(Lamp.dim, wrong, wrong)


@pytest.mark.parametrize("endpoint", ["127.0.0.1:6420", "localhost", "ws://127.0.0.1:6420", 6420])
def test_an_endpoint_is_shown_with_one_that_works(endpoint: Any) -> None:
    with pytest.raises(RivetError, match=f"{endpoint!r}; it must be .*'http://127.0.0.1:6420'"):
        Client(endpoint)


def test_a_token_in_a_wrong_endpoint_is_not_shown() -> None:
    with pytest.raises(RivetError) as caught:
        Client("ftp://prod:secret@host")
    assert "secret" not in str(caught.value)


def test_an_unknown_encoding_is_refused() -> None:
    encoding: Any = "xml"
    with pytest.raises(RivetError, match="encoding is 'xml'; it is 'bare', 'cbor' or 'json'"):
        Client(encoding=encoding)


async def test_a_missing_actor_is_named() -> None:
    registry = Registry(Lamp, data_dir=":memory:")
    async with registry.lifespan():
        with pytest.raises(RivetError, match=r"no actor 'lamp' with the key \['desk'\]; get_or_create"):
            await registry.client.get(Lamp, "desk").call(Lamp.dim, 1)


def test_state_has_to_be_declared_before_it_is_used() -> None:
    lamp: Any = Lamp()
    with pytest.raises(AttributeError, match="Lamp declares no state: write `state: int = 0`"):
        _ = lamp.state
    with pytest.raises(AttributeError, match="Lamp declares no state"):
        lamp.state = 1


def test_a_caller_has_to_be_declared_before_it_is_used() -> None:
    lamp: Any = Lamp()
    with pytest.raises(AttributeError, match=r"Lamp declares no conn: write `conn: Conn\[Params, State\]`"):
        _ = lamp.conn
