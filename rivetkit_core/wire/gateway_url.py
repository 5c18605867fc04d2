"""Gateway URLs, as clients build them and as the gateway reads them (client-protocol 1.1, 1.4).

    direct    /gateway/{actor id}[@{token}]{actor path}
    query     /gateway/{name}{actor path}?rvt-namespace=...&rvt-method=...   names an actor by its key

Pure functions over text. A bad URL from a client is the caller's mistake and not a broken frame, so the
errors here are ``validation.*`` (building) and ``guard.*`` (reading) rather than ``ProtocolError``.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypeVar
from urllib.parse import quote, quote_plus, unquote, unquote_to_bytes, urlsplit

from rivetkit_core.errors import ProtocolError, RivetError, error
from rivetkit_core.wire import actor_key, cbor

T = TypeVar("T")

DEFAULT_ENDPOINT = "http://127.0.0.1:6420"

MAX_QUERY_INPUT = 4096
"""Longest CBOR input a query URL carries, in bytes before base64; longer ones go through the manager API."""

_SEGMENT = "gateway"
_PREFIX = "rvt-"
_COMPONENT_SAFE = "-_.!~*'()"  # what JavaScript's encodeURIComponent leaves alone
_FORM_SAFE = "*-._"
_POLICIES = ("restart", "sleep", "destroy")
_SWITCH = {"true": True, "1": True, "false": False, "0": False}
_KNOWN = frozenset(
    {
        "rvt-namespace", "rvt-method", "rvt-key", "rvt-runner", "rvt-pool", "rvt-input", "rvt-region",
        "rvt-crash-policy", "rvt-token", "rvt-skip-ready-wait",
    }
)  # fmt: skip
_NOT_FOR_GET = ("rvt-runner", "rvt-input", "rvt-region", "rvt-crash-policy")
_BASE64URL = re.compile(r"[A-Za-z0-9_-]*")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a client connects. ``base`` has no credentials and no trailing slash."""

    base: str
    namespace: str | None = None
    token: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class DirectTarget:
    """A request to an actor by id; ``path`` and ``query`` are the actor's, byte for byte."""

    actor_id: str
    token: str | None
    path: str
    query: str


@dataclass(frozen=True, slots=True)
class QueryTarget:
    """A request to an actor by name and key. ``create`` for getOrCreate; ``input`` is CBOR."""

    name: str
    key: actor_key.Key
    create: bool
    input: bytes | None
    namespace: str
    pool: str | None
    region: str | None
    crash_policy: str
    token: str | None
    skip_ready_wait: bool
    path: str
    query: str


def parse_endpoint(url: str) -> Endpoint:
    """Split an endpoint URL; its user is the namespace and its password the token.

    Raises:
        RivetError: ``validation.invalid_input`` for a URL that is not http(s), has a query string or a
            fragment, or a token without a namespace.
    """
    if not isinstance(url, str):  # pyright: ignore[reportUnnecessaryIsInstance]  # callers may be untyped
        raise _invalid(f"endpoint is {url!r}; it must be a URL such as 'http://127.0.0.1:6420'")
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as failure:
        raise _invalid(f"endpoint is {_shown(url)!r}; its host or port is not valid") from failure
    if parts.scheme not in ("http", "https") or not host:
        raise _invalid(
            f"endpoint is {_shown(url)!r}; it must be like 'http://127.0.0.1:6420', with http:// or https://"
        )
    if parts.query or parts.fragment or "?" in url or "#" in url:
        raise _invalid("endpoint must not have a query string or a fragment")
    namespace, token = unquote(parts.username or ""), unquote(parts.password or "")
    if token and not namespace:
        raise _invalid("endpoint has a token but no namespace")
    address = parts.netloc.rpartition("@")[2]
    return Endpoint(f"{parts.scheme}://{address}{parts.path.rstrip('/')}", namespace or None, token or None)


def _shown(url: str) -> str:
    """The endpoint for a message, without the token it may hold."""
    return f"...@{url.rpartition('@')[2]}" if "@" in url else url


def direct_url(base: str, actor_id: str, path: str = "", token: str | None = None) -> str:
    """URL of an actor by id. ``path`` may carry a query string."""
    suffix = "" if token is None else "@" + encode_component(token)
    return _join(base, f"/{_SEGMENT}/{encode_component(actor_id)}{suffix}{path}")


def query_url(
    base: str,
    name: str,
    path: str = "",
    *,
    namespace: str,
    method: str,
    key: actor_key.Key = (),
    pool: str | None = None,
    input: bytes | None = None,
    region: str | None = None,
    crash_policy: str | None = None,
    token: str | None = None,
    skip_ready_wait: bool | None = None,
) -> str:
    """URL of an actor by name and key, in the TypeScript client's order of parameters.

    The gateway reads the key back only if ``actor_key.fits_query``. ``pool``, ``input``, ``region`` and
    ``crash_policy`` belong to ``getOrCreate`` and are left out of a ``get``.

    Raises:
        RivetError: ``validation.invalid_input`` if ``input`` exceeds ``MAX_QUERY_INPUT``.
    """
    if input is not None and len(input) > MAX_QUERY_INPUT:
        raise _invalid(f"the input has {len(input)} bytes; a query URL carries {MAX_QUERY_INPUT}")
    create = method == "getOrCreate"
    encoded_input = None if input is None else base64.urlsafe_b64encode(input).decode().rstrip("=")
    parameters = {
        "rvt-namespace": namespace,
        "rvt-method": method,
        "rvt-runner": (pool or "default") if create else None,
        "rvt-key": actor_key.to_query(key) or None,
        "rvt-input": encoded_input if create else None,
        "rvt-region": region if create else None,
        "rvt-crash-policy": (crash_policy or "sleep") if create else None,
        "rvt-token": token,
        "rvt-skip-ready-wait": None if skip_ready_wait is None else str(skip_ready_wait).lower(),
    }
    query = "&".join(f"{k}={quote_plus(v, safe=_FORM_SAFE)}" for k, v in parameters.items() if v is not None)
    mark = "&" if "?" in path else "?"
    return _join(base, f"/{_SEGMENT}/{encode_component(name)}{path}{mark}{query.replace('~', '%7E')}")


def manager_url(base: str, path: str, parameters: Iterable[tuple[str, str]] = ()) -> str:
    """URL of a manager API call, for instance ``/actors``."""
    query = "&".join(f"{encode_component(k)}={encode_component(v)}" for k, v in parameters)
    return _join(base, f"{path}?{query}" if query else path)


def encode_component(text: str) -> str:
    """Percent-encode as JavaScript's ``encodeURIComponent`` does."""
    try:
        return quote(text, safe=_COMPONENT_SAFE)
    except UnicodeEncodeError as failure:
        raise _invalid("text with a lone surrogate") from failure


def _join(base: str, path: str) -> str:
    scheme, mark, rest = base.partition("://")
    address, slash, prefix = rest.partition("/")
    pathname, *query = f"{slash}{prefix.rstrip('/')}{path}".split("?")
    joined = re.sub("/{2,}", "/", pathname)
    return f"{scheme}{mark}{address}{joined}" + (f"?{query[0]}" if query else "")


def _invalid(reason: str) -> RivetError:
    return error("validation.invalid_input", reason=reason)


def parse_gateway_path(raw_path: str, raw_query: str) -> DirectTarget | QueryTarget | None:
    """Which actor a request is for, from the path and query as received, undecoded.

    Returns:
        The target, or None if this is no gateway path.

    Raises:
        RivetError: ``guard.query_*`` for a query-backed URL that is not valid.
    """
    if "//" in raw_path:
        return None
    _, _, rest = raw_path.partition("/")
    head, slash, rest = rest.partition("/")
    if head != _SEGMENT or not slash:
        return None
    segment, slash, rest = rest.partition("/")
    path = slash + rest or "/"
    ours, others = _split_query(raw_query)
    if ours:
        return _query_target(segment, path, ours, others)
    return _direct_target(segment, path, raw_query)


def _direct_target(segment: str, path: str, query: str) -> DirectTarget | None:
    raw_id, mark, raw_token = segment.partition("@")
    try:
        actor_id, token = _percent_decode(raw_id), _percent_decode(raw_token)
    except UnicodeError:
        return None
    if not actor_id or (mark and not token):
        return None
    return DirectTarget(actor_id, token or None, path, query)


def _split_query(raw_query: str) -> tuple[list[tuple[str, str]], str]:
    """Names and raw values of the ``rvt-`` parameters, and the rest of the query as it was."""
    ours: list[tuple[str, str]] = []
    others: list[str] = []
    for pair in raw_query.split("&") if raw_query else ():
        raw_name, _, raw_value = pair.partition("=")
        name = unquote(raw_name.replace("+", " "), errors="replace")
        if name.startswith(_PREFIX):
            ours.append((name, raw_value))
        else:
            others.append(pair)
    return ours, "&".join(others)


def _query_target(segment: str, path: str, pairs: list[tuple[str, str]], query: str) -> QueryTarget:
    if "@" in segment:
        raise error("guard.query_path_token_syntax")
    name = _decoded(segment)
    if not name:
        raise error("guard.query_empty_actor_name")
    given = _unique(pairs)
    create = _method(given)
    pool = given.get("rvt-pool") or given.get("rvt-runner") or None
    if create and pool is None:
        raise error("guard.query_missing_pool")
    raw_input = given.get("rvt-input")
    return QueryTarget(
        name=name,
        key=actor_key.from_query(given.get("rvt-key", "")),
        create=create,
        input=None if raw_input is None else _input(raw_input),
        namespace=_required(given, "rvt-namespace"),
        pool=pool,
        region=given.get("rvt-region"),
        crash_policy=_one_of(given, "rvt-crash-policy", {name: name for name in _POLICIES}, "sleep"),
        token=given.get("rvt-token"),
        skip_ready_wait=_one_of(given, "rvt-skip-ready-wait", _SWITCH, False),
        path=path,
        query=query,
    )


def _unique(pairs: list[tuple[str, str]]) -> dict[str, str]:
    given: dict[str, str] = {}
    for name, raw_value in pairs:
        if name not in _KNOWN:
            raise error("guard.query_invalid_params", reason=f"unknown parameter {name}")
        if name in given:
            raise error("guard.query_duplicate_param", name=name)
        given[name] = _decoded(raw_value.replace("+", " "))
    return given


def _method(given: dict[str, str]) -> bool:
    """Whether the method is ``getOrCreate``."""
    match _required(given, "rvt-method"):
        case "getOrCreate":
            return True
        case "get":
            for name in _NOT_FOR_GET:
                if name in given:
                    raise error("guard.query_get_disallowed_params", name=name)
            return False
        case method:
            raise error("guard.query_invalid_params", reason=f"rvt-method {method!r} is unknown")


def _required(given: dict[str, str], name: str) -> str:
    value = given.get(name)
    if not value:
        raise error("guard.query_invalid_params", reason=f"{name} is missing")
    return value


def _one_of(given: dict[str, str], name: str, choices: dict[str, T], absent: T) -> T:
    value = given.get(name)
    if value is None:
        return absent
    if value not in choices:
        raise error("guard.query_invalid_params", reason=f"{name} must be one of {', '.join(choices)}")
    return choices[value]


def _input(text: str) -> bytes:
    if _BASE64URL.fullmatch(text) is None:
        raise error("guard.query_invalid_base64_input")
    try:
        data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except binascii.Error as failure:
        raise error("guard.query_invalid_base64_input") from failure
    try:
        cbor.decode_compat(data)
    except ProtocolError as failure:
        raise error("guard.query_invalid_cbor_input") from failure
    return data


def _percent_decode(text: str) -> str:
    """Decode ``%XX``; a malformed escape stays as it is, bytes that are not UTF-8 are an error."""
    return unquote_to_bytes(text).decode()


def _decoded(text: str) -> str:
    try:
        return _percent_decode(text)
    except UnicodeError as failure:
        raise error("guard.query_invalid_percent_encoding") from failure
