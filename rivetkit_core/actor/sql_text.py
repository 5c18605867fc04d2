"""What a statement of SQL says, as far as the runtime must know before SQLite does.

The text is cut into tokens, nothing is understood: enough to number parameters, to find names that are the
runtime's own, and to tell what begins or ends a transaction. The same answers on every host, before any of
them is asked. Knows no database.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from rivetkit_core.errors import RivetError, error

RESERVED = "_rivet_"
"""What names of the runtime's own tables begin with."""

_TOKEN = re.compile(
    r"""(?P<space>\s+|--[^\n]*|/\*.*?(?:\*/|\Z))
      | (?P<text>'[^']*(?:''[^']*)*(?:'|\Z))
      | (?P<quoted>"[^"]*(?:""[^"]*)*(?:"|\Z)|`[^`]*(?:``[^`]*)*(?:`|\Z)|\[[^\]]*(?:\]|\Z))
      | (?P<parameter>\?\d*|[:@$][\w$]+)
      | (?P<number>\d[\w.]*)
      | (?P<word>[^\W\d][\w$]*)
      | (?P<mark>.)""",
    re.DOTALL | re.VERBOSE,
)
_PRAGMAS = frozenset(
    {
        "application_id",
        "case_sensitive_like",
        "collation_list",
        "compile_options",
        "data_version",
        "defer_foreign_keys",
        "encoding",
        "foreign_key_check",
        "foreign_key_list",
        "foreign_keys",
        "freelist_count",
        "function_list",
        "ignore_check_constraints",
        "index_info",
        "index_list",
        "index_xinfo",
        "integrity_check",
        "legacy_alter_table",
        "optimize",
        "page_count",
        "page_size",
        "quick_check",
        "recursive_triggers",
        "reverse_unordered_selects",
        "schema_version",
        "table_info",
        "table_list",
        "table_xinfo",
        "user_version",
    }
)
_READ_ONLY_PRAGMAS = frozenset({"schema_version", "encoding", "page_size"})
_CHANGES = frozenset({"INSERT", "REPLACE", "UPDATE", "DELETE"})
_MAIN_VERBS = _CHANGES | {"SELECT", "VALUES"}
_READS = frozenset({"", "SELECT", "VALUES", "EXPLAIN"})
_APART_VERBS = frozenset({"BEGIN", "COMMIT", "END", "ROLLBACK", "PRAGMA", "VACUUM"})
_APART_WORDS = frozenset({"ROLLBACK", "DEFERRED", "DEFERRABLE"})
_MAX_PARAMETERS = 32_766  # SQLite's own


@dataclass(frozen=True, slots=True)
class Parsed:
    """One statement.

    Attributes:
        sql: The text to run; every parameter has its number if any has a name.
        slots: The parameters' names by position, None for those without.
        verb: The first word, in capitals; what a WITH leads to; ``ROLLBACK TO`` is a verb of its own. Empty
            for a statement that says nothing.
        apart: Whether it cannot run in a transaction that others share: it ends it, may undo it, or may make
            its commit fail.
    """

    sql: str
    slots: tuple[str | None, ...]
    verb: str
    apart: bool

    @property
    def reads(self) -> bool:
        """Whether it surely changes nothing."""
        return self.verb in _READS

    @property
    def changes_rows(self) -> bool:
        return self.verb in _CHANGES

    @property
    def inserts(self) -> bool:
        return self.verb in ("INSERT", "REPLACE")


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str

    @property
    def name(self) -> str:
        """The identifier a token spells, in small letters."""
        text = self.text
        if self.kind == "word":
            return text.lower()
        return text[1:-1].replace(text[0] * 2, text[0]).lower()


def is_pragma_allowed(name: str, argument: str | None) -> bool:
    """Whether an actor may use a pragma: those that reach the file, or the runtime's settings, are not."""
    name = name.lower()
    return name in _PRAGMAS and not (argument is not None and name in _READ_ONLY_PRAGMAS)


@lru_cache(maxsize=1024)
def parse(sql: str) -> Parsed:
    """Look at one statement.

    Raises:
        RivetError: ``sqlite.not_allowed``: it is more than one statement, uses a reserved name or leaves
            the actor's own database; ``sqlite.failed``: it cannot be SQL.
    """
    if len(split(sql)) > 1:
        raise not_allowed("more than one statement at a time: use a script or a batch")
    tokens = [token for token in _tokens(sql) if token.kind != "space"]
    verb = _verb(tokens)
    _check(tokens, verb)
    numbers = list(_numbered(tokens))
    slots: list[str | None] = [None] * max((number for number, _ in numbers), default=0)
    for number, name in numbers:
        slots[number - 1] = name
    words = {token.text.upper() for token in tokens if token.kind == "word"}
    apart = verb in _APART_VERBS or not words.isdisjoint(_APART_WORDS)
    return Parsed(_renumbered(sql, numbers) if any(slots) else sql, tuple(slots), verb, apart)


@lru_cache(maxsize=256)
def split(sql: str) -> tuple[str, ...]:
    """The statements of a script, without those that say nothing.

    Raises:
        RivetError: ``sqlite.failed``: it cannot be SQL.
    """
    _check_text(sql)
    found: list[str] = []
    start = position = 0
    for token in _tokens(sql):
        position += len(token.text)
        # The semicolons inside of a trigger end nothing, and SQLite knows which those are.
        if token.text == ";" and sqlite3.complete_statement(sql[start:position]):
            found.append(sql[start:position])
            start = position
    found.append(sql[start:])
    return tuple(statement for statement in found if _says_something(statement))


def not_allowed(reason: str) -> RivetError:
    """The refusal of what SQLite would do, but an actor may not."""
    return error("sqlite.not_allowed", reason=reason)


def _tokens(sql: str) -> Iterator[_Token]:
    for match in _TOKEN.finditer(sql):
        yield _Token(match.lastgroup or "mark", match.group())


def _says_something(sql: str) -> bool:
    return any(token.kind != "space" and token.text != ";" for token in _tokens(sql))


def _check_text(sql: str) -> None:
    if "\0" in sql:
        raise error("sqlite.failed", reason="the statement holds a null character")
    if not sql.isascii():
        try:
            sql.encode()
        except UnicodeEncodeError:
            raise error("sqlite.failed", reason="the statement holds a lone surrogate") from None


def _verb(tokens: list[_Token]) -> str:
    words = [token.text.upper() for token in tokens if token.kind == "word"]
    first = words[0] if words else ""
    if first == "ROLLBACK" and "TO" in words:
        return "ROLLBACK TO"
    if first != "WITH":
        return first
    depth = 0
    for token in tokens:
        depth += (token.text == "(") - (token.text == ")")
        if depth == 0 and token.kind == "word" and token.text.upper() in _MAIN_VERBS:
            return token.text.upper()
    return first


def _check(tokens: list[_Token], verb: str) -> None:
    for token in tokens:
        # SQLite takes text for a name where only a name makes sense.
        if token.kind in ("word", "quoted", "text") and token.name.startswith(RESERVED):
            raise not_allowed(f"names beginning with {RESERVED} are the runtime's; pass text as a parameter")
    if verb in ("ATTACH", "DETACH"):
        raise not_allowed(f"{verb}: an actor has one database")
    if verb == "VACUUM" and any(token.text.upper() == "INTO" for token in tokens):
        raise not_allowed("VACUUM INTO: an actor has one database")
    if verb == "PRAGMA":
        _check_pragma(tokens)


def _check_pragma(tokens: list[_Token]) -> None:
    spelled = [token for token in tokens[1:] if token.text != ";"]
    if len(spelled) >= 3 and spelled[1].text == ".":
        spelled = spelled[2:]
    name = spelled[0].name if spelled and spelled[0].kind in ("word", "quoted", "text") else ""
    argument = spelled[2].text if len(spelled) > 2 else None
    if not is_pragma_allowed(name, argument):
        raise not_allowed(f"PRAGMA {name}{' with a value' if argument is not None else ''}")


def _numbered(tokens: list[_Token]) -> Iterator[tuple[int, str | None]]:
    """The number SQLite gives each parameter, and its name."""
    highest = 0
    by_name: dict[str, int] = {}
    for token in tokens:
        if token.kind != "parameter":
            continue
        name: str | None = None
        if token.text == "?":
            number = highest + 1
        elif token.text[0] == "?":
            number = int(token.text[1:])
        else:
            name = token.text[1:]
            number = by_name.setdefault(token.text, highest + 1)
        if not 0 < number <= _MAX_PARAMETERS:
            reason = f"variable number must be between ?1 and ?{_MAX_PARAMETERS}"
            raise error("sqlite.failed", reason=reason)
        highest = max(highest, number)
        yield number, name


def _renumbered(sql: str, numbers: list[tuple[int, str | None]]) -> str:
    remaining = iter(numbers)
    return "".join(
        f"?{next(remaining)[0]}" if token.kind == "parameter" else token.text for token in _tokens(sql)
    )
