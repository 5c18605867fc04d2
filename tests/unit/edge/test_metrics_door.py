"""Who may read metrics."""

from __future__ import annotations

import pytest

from rivetkit_core.edge.metrics import MetricsDoor, answer, bearer, read_door


@pytest.mark.parametrize(
    "header", [b"Bearer token", b"bearer   token", b"BEARER\ttoken", b"  bEaReR \t token  "]
)
def test_a_bearer_is_read_in_every_usual_spelling(header: bytes) -> None:
    assert bearer(header) == "token"


@pytest.mark.parametrize(
    "header", [None, b"", b"token", b"Basic token", b"Bearertoken", b"Bearer ", b"Bearer"]
)
def test_anything_else_is_no_token(header: bytes | None) -> None:
    assert bearer(header) is None


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"RIVETKIT_METRICS_ENABLED": "1"},
        {"RIVETKIT_METRICS_TOKEN": "secret"},
        {"RIVETKIT_METRICS_ENABLED": "0", "RIVETKIT_METRICS_TOKEN": "secret"},
        {"RIVETKIT_METRICS_ENABLED": "1", "RIVETKIT_METRICS_TOKEN": ""},
    ],
)
def test_without_both_settings_nothing_is_served(environ: dict[str, str]) -> None:
    door = read_door(environ)
    assert answer(door, b"Bearer secret") == (403, b"metrics not enabled")
    assert answer(door, b"Bearer ") == (403, b"metrics not enabled")


def test_only_the_token_opens() -> None:
    door = read_door({"RIVETKIT_METRICS_ENABLED": "1", "RIVETKIT_METRICS_TOKEN": "secret"})
    refused = (401, b"metrics request requires a valid bearer token")
    assert answer(door, b"Bearer secret") is None
    assert [answer(door, header) for header in (None, b"Bearer secre", b"Bearer secrets")] == [refused] * 3


def test_a_door_does_not_show_its_token() -> None:
    assert "secret" not in repr(MetricsDoor("secret"))
