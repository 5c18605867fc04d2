from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from rivetkit import Actor, ActorOptions, InvalidActor, ValidationError, action, actor
from rivetkit._codecs import CallCodec
from rivetkit_core.wire import cbor


class Message(BaseModel):
    author: str
    text: str = ""


@dataclass
class Point:
    x: int
    y: int = 0


@actor
class Room(Actor):
    @action
    async def post(
        self, text: str, times: int = 1, *, author: str | None = None, loud: bool = False
    ) -> Message:
        """Post a message."""
        return Message(author=author or "nobody", text=text * times)

    @action(name="renamed")
    def move(self, point: Point, note: Message | None = None) -> Point:
        return point

    @dataclass
    class Inner:
        value: int

    @action
    def inner(self) -> Inner:
        return self.Inner(1)

    @action
    async def note(self, values: list[int | None]) -> None: ...

    @action
    async def anything(self, value: object) -> None: ...

    @action
    async def at(self, when: datetime, amount: Decimal) -> None: ...


def sent(encoded: bytes) -> object:
    return cbor.decode(encoded)


def test_keywords_travel_in_declaration_order() -> None:
    assert sent(Room.post.encode_args(author="Ada", text="hi", times=2)) == ["hi", 2, "Ada"]


def test_a_skipped_default_in_the_middle_is_filled_in() -> None:
    assert sent(Room.post.encode_args("hi", loud=True)) == ["hi", 1, None, True]


def test_trailing_defaults_stay_home() -> None:
    assert sent(Room.post.encode_args("hi")) == ["hi"]


def test_models_and_dataclasses_travel_as_maps() -> None:
    encoded = Room.move.encode_args(Point(1, 2), note=Message(author="Ada"))
    assert sent(encoded) == [{"x": 1, "y": 2}, {"author": "Ada", "text": ""}]


def test_an_action_can_have_another_name_for_clients() -> None:
    assert Room.move.name == "renamed"


def test_a_reference_says_what_it_refers_to() -> None:
    assert repr(Room.post) == "ActionRef('post')"


def test_a_result_is_decoded_into_its_declared_type() -> None:
    assert Room.post.decode_output(cbor.encode({"author": "Ada"})) == Message(author="Ada")


def test_a_whole_float_is_an_int() -> None:
    assert Room.move.decode_output(cbor.encode({"x": 5.0, "y": 1})) == Point(5, 1)


def test_a_result_of_another_type_is_refused() -> None:
    with pytest.raises(ValidationError, match="action `post` output"):
        Room.post.decode_output(cbor.encode({"text": "x"}))


def test_a_bad_value_is_refused_before_anything_is_sent() -> None:
    with pytest.raises(ValidationError, match="Invalid action `post` arguments") as caught:
        Room.post.encode_args("hi", "many")  # pyright: ignore[reportArgumentType]  # the point of the test
    assert [(found.path, found.type) for found in caught.value.issues] == [(("times",), "int_parsing")]


def test_every_bad_value_is_reported_at_once() -> None:
    with pytest.raises(ValidationError) as caught:
        Room.post.encode_args(1, "x")  # pyright: ignore[reportArgumentType]  # the point of the test
    assert [found.path for found in caught.value.issues] == [("text",), ("times",)]


@pytest.mark.parametrize(
    ("args", "kwargs", "message"),
    [
        pytest.param((), {}, r"post\(\) missing a required argument: 'text'", id="missing"),
        pytest.param(("a", 1, "b"), {}, r"post\(\) too many positional arguments", id="too-many"),
        pytest.param(
            ("a",), {"nope": 1}, r"post\(\) got an unexpected keyword argument 'nope'", id="unknown"
        ),
        pytest.param(("a",), {"text": "b"}, r"post\(\) multiple values for argument 'text'", id="twice"),
    ],
)
def test_wrong_arity_reads_like_pythons_own(
    args: tuple[object, ...], kwargs: dict[str, object], message: str
) -> None:
    with pytest.raises(TypeError, match=message):
        Room.post.encode_args(*args, **kwargs)  # pyright: ignore[reportArgumentType]  # the point of the test


def test_dates_and_decimals_survive_the_wire() -> None:
    when, amount = datetime(2024, 5, 1, 12, tzinfo=UTC), Decimal("1.50")
    encoded = Room.at.encode_args(when, amount=amount)
    assert codec("at").decode_args(encoded, "arguments") == ([when, amount], {})


def codec(name: str) -> CallCodec:
    return vars(Room)[name].codec


def test_received_arguments_fill_positional_and_keyword_parameters() -> None:
    received = codec("post").decode_args(cbor.encode(["hi", 2.0, "Ada"]), "arguments")
    assert received == (["hi", 2], {"author": "Ada", "loud": False})


def test_undefined_stands_for_a_default() -> None:
    received = codec("post").decode_args(b"\x82\x62hi\xf7", "arguments")
    assert received == (["hi", 1], {"author": None, "loud": False})


def test_undefined_inside_an_argument_is_a_missing_field() -> None:
    received = codec("move").decode_args(b"\x81\xa2\x61x\x01\x61y\xf7", "arguments")
    assert received == ([Point(1, 0), None], {})


def test_undefined_in_a_list_inside_an_argument_is_none() -> None:
    received = codec("note").decode_args(b"\x81\x82\x01\xf7", "arguments")
    assert received == ([[1, None]], {})


def test_an_object_that_cannot_travel_is_a_validation_error() -> None:
    with pytest.raises(ValidationError) as caught:
        Room.anything.encode_args(object())
    assert caught.value.issues[0].type == "serialization"


def test_annotations_may_name_classes_of_the_class_body() -> None:
    assert Room.inner.decode_output(cbor.encode({"value": 1})) == Room.Inner(1)


def test_a_missing_argument_is_named() -> None:
    with pytest.raises(ValidationError) as caught:
        codec("move").decode_args(cbor.encode([]), "arguments")
    assert caught.value.metadata == {
        "target": "arguments",
        "issues": [{"path": ["point"], "message": "Field required", "type": "missing"}],
    }


def test_too_many_arguments_are_refused() -> None:
    with pytest.raises(ValidationError) as caught:
        codec("move").decode_args(cbor.encode([{"x": 1}, None, 3]), "arguments")
    assert caught.value.issues[0].message == "Expected at most 2 arguments, got 3"


def test_a_map_alone_is_the_only_argument() -> None:
    assert codec("move").decode_args(cbor.encode({"x": 1}), "arguments") == ([Point(1), None], {})


def test_bytes_that_are_not_cbor_are_a_validation_error() -> None:
    with pytest.raises(ValidationError):
        codec("move").decode_args(b"\x82\x01", "arguments")


def test_a_nested_path_leads_through_the_parameter() -> None:
    with pytest.raises(ValidationError) as caught:
        codec("move").decode_args(cbor.encode([{"x": "no"}]), "arguments")
    assert caught.value.issues[0].path == ("point", "x")


@given(
    text=st.text(),
    times=st.integers(-(2**53), 2**53),
    author=st.none() | st.text(),
    loud=st.booleans(),
    given_names=st.sets(st.sampled_from(["times", "author", "loud"])),
)
def test_what_a_client_binds_the_actor_receives(
    text: str, times: int, author: str | None, loud: bool, given_names: set[str]
) -> None:
    chosen = {"times": times, "author": author, "loud": loud}
    defaults = {"times": 1, "author": None, "loud": False}
    keywords = {name: value for name, value in chosen.items() if name in given_names}
    encoded = codec("post").encode_args([text], keywords, "arguments")
    positional, named = codec("post").decode_args(encoded, "arguments")
    received = dict(zip(["text", "times"], positional, strict=True)) | named
    assert received == {"text": text} | defaults | keywords


def test_the_plain_method_keeps_its_documentation() -> None:
    assert vars(Room)["post"].__doc__ == "Post a message."


async def test_an_action_on_self_is_a_plain_call() -> None:
    assert (await Room().post("a", 2)).text == "aa"


def test_a_local_name_in_an_annotation_is_explained_on_first_use() -> None:
    class Hidden(BaseModel): ...

    class Local(Actor):
        @action
        async def take(self, value: Hidden) -> None: ...

    with pytest.raises(InvalidActor, match="'Hidden' is not defined at module level"):
        Local.take.encode_args(Hidden())


def test_options_are_checked_where_they_are_written() -> None:
    options: ActorOptions = {"action_timeout": -1.0}
    with pytest.raises(ValueError, match=r"action_timeout is -1\.0"):
        actor(**options)(Room)
