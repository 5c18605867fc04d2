"""Identity, visibility and shape of errors."""

from __future__ import annotations

import pickle

import pytest

from rivetkit_core import errors
from rivetkit_core._catalogue import CATALOGUE
from rivetkit_core.errors import (
    INTERNAL_MESSAGE,
    ActorSpecifier,
    Issue,
    RivetError,
    UserError,
    error,
    find,
    is_public,
    masked,
    rebuild,
    status_of,
)

ORIGIN = ActorSpecifier("id", 3, "a/b")


def test_a_catalogued_error_fills_its_message_from_the_metadata() -> None:
    failure = error("actor.action_not_found", name="post")
    assert str(failure) == "actor.action_not_found: Action `post` was not found."
    assert failure.metadata == {"name": "post"}


def test_an_uncatalogued_identity_is_a_bug() -> None:
    with pytest.raises(KeyError):
        error("actor.no_such_code")


@pytest.mark.parametrize("identity", sorted(CATALOGUE))
def test_every_catalogued_error_can_be_made_without_metadata(identity: str) -> None:
    failure = error(identity)
    assert f"{failure.group}.{failure.code}" == identity
    assert failure.message


@pytest.mark.parametrize(
    ("identity", "kind"),
    [
        ("actor.validation_error", errors.ValidationError),
        ("actor.not_found", errors.ActorNotFound),
        ("actor.action_timed_out", errors.ActionTimedOut),
        ("actor.overloaded", errors.Overloaded),
        ("auth.forbidden", errors.Forbidden),
        ("client.connection_lost", errors.ConnectionLost),
        ("storage.unavailable", errors.StorageError),
        ("user.anything", errors.UserError),
        ("billing.broken", errors.RivetError),
    ],
)
def test_an_identity_has_its_class(identity: str, kind: type[RivetError]) -> None:
    group, code = identity.split(".")
    assert type(rebuild(group, code)) is kind


@pytest.mark.parametrize(
    "failure",
    [
        error("actor.overloaded", channel="x", capacity=1, operation="y"),
        UserError("no", code="refused", metadata={"a": [1]}, actor=ORIGIN),
        rebuild("billing", "broken", "text", None, ORIGIN),
    ],
)
def test_errors_survive_pickling(failure: RivetError) -> None:
    copy: object = pickle.loads(pickle.dumps(failure))
    assert isinstance(copy, RivetError)
    assert type(copy) is type(failure)
    assert (copy.group, copy.code, copy.message, copy.metadata, copy.actor) == (
        failure.group,
        failure.code,
        failure.message,
        failure.metadata,
        failure.actor,
    )


def test_issues_are_read_from_the_metadata_and_bad_ones_are_skipped() -> None:
    issues = [{"path": ["a", 0, None], "message": "bad", "type": "int_type"}, "nonsense", {}]
    failure = rebuild("actor", "validation_error", None, {"issues": issues})
    assert failure.issues == (Issue(("a", 0, "None"), "bad", "int_type"), Issue((), "", ""))


@pytest.mark.parametrize("metadata", [None, 5, {"issues": 5}, {}])
def test_without_issues_there_are_none(metadata: object) -> None:
    assert rebuild("actor", "validation_error", None, metadata).issues == ()


def test_a_public_error_passes_the_mask_unchanged() -> None:
    failure = UserError("no", code="refused", metadata=1)
    assert masked(failure) is failure


def test_a_private_error_keeps_only_its_identity_and_origin() -> None:
    seen = masked(RivetError("billing", "broken", "secret", metadata={"secret": 1}, actor=ORIGIN))
    assert (seen.group, seen.code, seen.message, seen.metadata, seen.actor) == (
        "billing",
        "broken",
        INTERNAL_MESSAGE,
        None,
        ORIGIN,
    )


def test_an_ordinary_exception_is_internal() -> None:
    seen = masked(ValueError("secret"))
    assert (seen.group, seen.code, seen.metadata) == ("rivetkit", "internal_error", None)
    assert "secret" not in str(seen)


def test_development_may_expose_the_text() -> None:
    assert masked(ValueError("secret"), expose=True).metadata == {"error": "ValueError: secret"}


def test_the_cause_chain_is_searched_and_may_be_a_circle() -> None:
    first, second = ValueError(), ValueError()
    first.__cause__, second.__cause__ = second, first
    assert find(first) is None
    second.__cause__ = known = UserError("x")
    assert find(first) is known


@pytest.mark.parametrize(
    ("identity", "status", "public"),
    [
        ("user.anything", None, True),
        ("queue.full", 400, True),
        ("billing.broken", 500, False),
        ("auth.forbidden", 403, True),
        ("actor.not_found", 404, True),
        ("actor.method_not_allowed", 405, True),
        ("actor.action_timed_out", 408, True),
        ("message.incoming_too_long", 400, True),
        ("rivetkit.internal_error", 500, False),
    ],
)
def test_status_and_visibility_follow_from_the_identity(
    identity: str, status: int | None, public: bool
) -> None:
    group, code = identity.split(".")
    assert is_public(group, code) is public
    if status is not None:
        assert status_of(group, code) == status
