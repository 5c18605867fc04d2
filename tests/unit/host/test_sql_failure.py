"""What SQLite said, whoever passed it on."""

from __future__ import annotations

import pytest

from rivetkit_core.errors import RivetError
from rivetkit_core.host.port import MAX_SQL_RESULT, SqlResult
from rivetkit_core.host.sql_failure import checked, refused_by_engine


@pytest.mark.parametrize(
    ("message", "identity", "reason"),
    [
        (
            "failed to step sqlite execute statement: UNIQUE constraint failed: t.id",
            "sqlite.constraint_failed",
            "UNIQUE constraint failed: t.id",
        ),
        (
            'failed to prepare sqlite execute statement: near "x": syntax error',
            "sqlite.failed",
            'near "x": syntax error',
        ),
        (
            "execute remote sqlite batch statement: failed to step sqlite execute statement: "
            "NOT NULL constraint failed: t.a",
            "sqlite.constraint_failed",
            "NOT NULL constraint failed: t.a",
        ),
        (
            "failed to bind sqlite parameter: column index out of range",
            "sqlite.failed",
            "column index out of range",
        ),
        ("no such table: t", "sqlite.failed", "no such table: t"),
    ],
)
def test_the_engine_s_own_words_are_left_out(message: str, identity: str, reason: str) -> None:
    failure = refused_by_engine(message)
    assert f"{failure.group}.{failure.code}" == identity
    assert failure.metadata == {"reason": reason}


def test_an_actor_that_does_not_exist_has_a_newer_generation() -> None:
    assert refused_by_engine("actor does not exist").code == "remote_fence_mismatch"


def test_a_result_has_a_bound() -> None:
    fits = SqlResult(("a",), (("x" * 10,),))
    assert checked(fits) is fits
    with pytest.raises(RivetError, match=r"sqlite\.result_too_large"):
        checked(SqlResult(("a",), (("x" * MAX_SQL_RESULT, "x"),)))
