"""Reading the head of a request from an ASGI scope."""

from __future__ import annotations

import pytest

from rivetkit_core.host.web.asgi import read_head
from tests.unit.host.embedded.fakes import http_scope


@pytest.mark.parametrize(
    ("path", "root_path", "expected"),
    [
        ("/gateway/a/health", None, "/gateway/a/health"),
        ("/gateway/a/health", "", "/gateway/a/health"),
        ("/rivet/gateway/a/health", "/rivet", "/gateway/a/health"),
        ("/rivet/gateway/a", "/rivet/", "/gateway/a"),
        ("/a/b/actors", "/a/b", "/actors"),
        ("/rivet", "/rivet", "/"),
        ("/rivet/", "/rivet", "/"),
        ("/rivets/actors", "/rivet", "/rivets/actors"),
        ("/actors", "/rivet", "/actors"),
        ("/rivet//actors", "/rivet", "//actors"),
    ],
)
def test_the_mount_point_is_taken_off(path: str, root_path: str | None, expected: str) -> None:
    assert read_head(http_scope(path, root_path=root_path)).path == expected


@pytest.mark.parametrize(
    ("path", "raw_path", "root_path", "expected"),
    [
        ("/gateway/a/b", b"/gateway/a%2Fb", "", "/gateway/a%2Fb"),
        ("/m/gateway/a/b", b"/m/gateway/a%2Fb", "/m", "/gateway/a%2Fb"),
        ("/mé/actors", b"/m%C3%A9/actors", "/mé", "/actors"),
        ("/gateway/a", b"/gateway/a?x=1", "", "/gateway/a"),
    ],
)
def test_the_path_stays_encoded(path: str, raw_path: bytes, root_path: str, expected: str) -> None:
    assert read_head(http_scope(path, raw_path=raw_path, root_path=root_path)).path == expected


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/gateway/a b/ä", "/gateway/a%20b/%C3%A4"),
        ("/gateway/id@token", "/gateway/id@token"),
        ("/gateway/100%", "/gateway/100%25"),
        ("/gateway/a?b", "/gateway/a%3Fb"),
    ],
)
def test_without_a_raw_path_the_decoded_one_is_encoded_again(path: str, expected: str) -> None:
    assert read_head(http_scope(path, raw_path=None)).path == expected


def test_header_names_are_lower_case_and_repeated_ones_are_joined() -> None:
    head = read_head(http_scope("/", headers=[(b"X-A", b"1"), (b"x-a", b"2"), (b"X-B", b"\xe4")]))
    assert head.headers == {"x-a": b"1, 2", "x-b": b"\xe4"}
    assert head.text("x-b") == "ä"
    assert head.text("x-c") is None


def test_the_query_stays_encoded() -> None:
    assert read_head(http_scope("/", query=b"a=%2F&b=+")).query == "a=%2F&b=+"
