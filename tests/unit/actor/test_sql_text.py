"""What is known of a statement before SQLite sees it."""

from __future__ import annotations

import sqlite3

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rivetkit_core.actor.sql_text import parse, split
from rivetkit_core.errors import RivetError


@pytest.mark.parametrize(
    ("sql", "verb"),
    [
        ("select 1", "SELECT"),
        ("  -- BEGIN\n/* COMMIT */ Insert into t values (1)", "INSERT"),
        ("WITH a AS (SELECT 1), b AS (DELETE) SELECT 1", "SELECT"),
        ("WITH a AS (SELECT 1) INSERT INTO t SELECT * FROM a", "INSERT"),
        ("WITH RECURSIVE a(x) AS (VALUES (1)) UPDATE t SET a = 1", "UPDATE"),
        ("rollback to savepoint a", "ROLLBACK TO"),
        ("ROLLBACK", "ROLLBACK"),
        (";", ""),
        ("/* nothing", ""),
    ],
)
def test_the_verb_of_a_statement(sql: str, verb: str) -> None:
    assert parse(sql).verb == verb


@pytest.mark.parametrize(
    ("sql", "slots", "text"),
    [
        ("SELECT ?, ?", (None, None), "SELECT ?, ?"),
        ("SELECT ?3, ?", (None,) * 4, "SELECT ?3, ?"),
        ("SELECT :a, @a, $a, :a", ("a", "a", "a"), "SELECT ?1, ?2, ?3, ?1"),
        ("SELECT ?, :b, ?, :b", (None, "b", None), "SELECT ?1, ?2, ?3, ?2"),
        ("SELECT ':a', \"?\", [?], `:a`, 'it''s ?', 1 -- ?\n/* ? */", (), None),
        ("SELECT x'00', a1 ->> '$.b', 1e5, 0x1F, \"a\"\"?\"", (), None),
    ],
)
def test_parameters_have_the_numbers_that_sqlite_gives_them(
    sql: str, slots: tuple[str | None, ...], text: str | None
) -> None:
    parsed = parse(sql)
    assert (parsed.slots, parsed.sql) == (slots, text or sql)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM _rivet_x",
        "SELECT * FROM _RIVET_x",
        "SELECT * FROM [_rivet_x]",
        "SELECT * FROM main.`_rivet_x`",
        "CREATE TABLE '_rivet_x' (a)",
        'ALTER TABLE a RENAME TO "_rivet_"',
        "DETACH a",
        "attach ? as x",
        "vacuum main into 'x'",
        "PRAGMA main.journal_mode",
        "PRAGMA 'journal_mode'",
        "PRAGMA schema_version = 3",
        "PRAGMA encoding('UTF-16')",
        "PRAGMA",
        "SELECT 1; SELECT 2",
    ],
)
def test_what_an_actor_may_not_say(sql: str) -> None:
    with pytest.raises(RivetError, match=r"sqlite\.not_allowed"):
        parse(sql)


@pytest.mark.parametrize(
    "sql",
    [
        "PRAGMA user_version",
        "PRAGMA main.user_version = 3",
        "PRAGMA table_info(t)",
        "pragma schema_version;",
        "VACUUM",
        "SELECT 'my _rivet_ text', a_rivet_b",
    ],
)
def test_what_an_actor_may_say(sql: str) -> None:
    parse(sql)


@pytest.mark.parametrize("sql", ["SELECT ?0", "SELECT ?99999", "SELECT \0", "SELECT '\ud800'"])
def test_what_is_no_sql_is_refused_as_sqlite_does(sql: str) -> None:
    with pytest.raises(RivetError, match=r"sqlite\.failed"):
        parse(sql)


def test_a_script_is_split_where_sqlite_would() -> None:
    trigger = "CREATE TRIGGER g AFTER INSERT ON t BEGIN SELECT ';'; SELECT 1; END;"
    assert split(f"SELECT 1;; -- a;\n{trigger}\nSELECT ';' /* ; */") == (
        "SELECT 1;",
        f" -- a;\n{trigger}",
        "\nSELECT ';' /* ; */",
    )


@given(st.text(st.sampled_from("?:a1@$'\"[]`-/*\n ;(),xX_é"), max_size=40))
def test_parameters_are_counted_as_sqlite_counts_them(text: str) -> None:
    sql = f"SELECT 1 {text}"
    try:
        parsed = parse(sql)
    except RivetError:
        return
    connection = sqlite3.connect(":memory:")
    try:
        connection.execute(parsed.sql, [None] * len(parsed.slots))
    except sqlite3.ProgrammingError as failure:
        assert "supplied" not in str(failure), (sql, parsed)
    except sqlite3.Error:
        pass
    finally:
        connection.close()


@given(st.text(st.sampled_from("?:a1'\"-/*\n ;BEGINTRGSLCd"), max_size=40))
def test_splitting_loses_nothing_that_is_said(text: str) -> None:
    for statement in split(text):
        assert statement in text
        assert len(split(statement)) == 1
