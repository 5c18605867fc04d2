from __future__ import annotations

import pytest

from rivetkit_core.errors import RivetError
from rivetkit_core.wire.gateway_url import (
    DirectTarget,
    Endpoint,
    QueryTarget,
    parse_endpoint,
    parse_gateway_path,
    query_url,
)

GET = "rvt-namespace=default&rvt-method=get"
CREATE = "rvt-namespace=default&rvt-method=getOrCreate&rvt-runner=pool"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://localhost:6420", Endpoint("http://localhost:6420")),
        ("https://n%20s:t%2Fk@h.example/api/", Endpoint("https://h.example/api", "n s", "t/k")),
        ("http://ns@[::1]:80/", Endpoint("http://[::1]:80", "ns")),
    ],
)
def test_an_endpoint_is_split(url: str, expected: Endpoint) -> None:
    assert parse_endpoint(url) == expected


@pytest.mark.parametrize(
    "url", ["http://h?a=1", "http://h#x", "http://:token@h", "ftp://h", "h:6420", "", "http://", "http://h:x"]
)
def test_an_endpoint_that_is_not_one_is_refused(url: str) -> None:
    with pytest.raises(RivetError) as caught:
        parse_endpoint(url)

    assert (caught.value.group, caught.value.code) == ("validation", "invalid_input")


@pytest.mark.parametrize(
    ("path", "query", "expected"),
    [
        ("/gateway/abc", "", DirectTarget("abc", None, "/", "")),
        ("/gateway/abc/action/a%2Fb", "x=1&x=%zz", DirectTarget("abc", None, "/action/a%2Fb", "x=1&x=%zz")),
        ("/gateway/a%2Fb@t%40k/x/", "", DirectTarget("a/b", "t@k", "/x/", "")),
    ],
)
def test_a_direct_path_names_an_actor_by_id(path: str, query: str, expected: DirectTarget) -> None:
    assert parse_gateway_path(path, query) == expected


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "",
        "/gateway",
        "/gateway/",
        "/actors",
        "/gateway/a//b",
        "//gateway/a",
        "/gateway/a@",
        "/gateway/@t",
    ],
)
def test_other_paths_are_not_the_gateways(path: str) -> None:
    assert parse_gateway_path(path, "") is None


def test_a_query_path_names_an_actor_by_key_and_keeps_the_rest() -> None:
    target = parse_gateway_path(
        "/gateway/my%20actor/connect",
        "b=%20&rvt-namespace=n+1&rvt-method=getOrCreate&rvt-key=a%2Cb&rvt-runner=r&rvt-pool=p&a=1+2"
        "&rvt-input=9g&rvt-region=us&rvt-crash-policy=destroy&rvt-token=t&rvt-skip-ready-wait=1",
    )

    assert target == QueryTarget(
        name="my actor",
        key=("a", "b"),
        create=True,
        input=b"\xf6",
        namespace="n 1",
        pool="p",
        region="us",
        crash_policy="destroy",
        token="t",
        skip_ready_wait=True,
        path="/connect",
        query="b=%20&a=1+2",
    )


def test_what_we_build_we_read() -> None:
    url = query_url(
        "http://h",
        "ä/b",
        "/x?y=~",
        namespace="n",
        method="getOrCreate",
        key=("~ é",),
        pool="p",
        input=b"\x01",
    )
    path, _, query = url.removeprefix("http://h").partition("?")
    target = parse_gateway_path(path, query)

    assert isinstance(target, QueryTarget)
    assert (target.name, target.key, target.input) == ("ä/b", ("~ é",), b"\x01")
    assert (target.path, target.query) == ("/x", "y=~")


@pytest.mark.parametrize(
    ("path", "query", "code"),
    [
        ("/gateway/a", "rvt-method=get", "query_invalid_params"),
        ("/gateway/a", "rvt-namespace=n", "query_invalid_params"),
        ("/gateway/a", "rvt-namespace=n&rvt-method=put", "query_invalid_params"),
        ("/gateway/a", GET + "&rvt-unknown=1", "query_invalid_params"),
        ("/gateway/a", GET + "&rvt-skip-ready-wait=yes", "query_invalid_params"),
        ("/gateway/a", CREATE + "&rvt-crash-policy=panic", "query_invalid_params"),
        ("/gateway/a", GET + "&rvt-method=get", "query_duplicate_param"),
        ("/gateway/a", GET + "&rvt-runner=p", "query_get_disallowed_params"),
        ("/gateway/a", GET + "&rvt-input=9g", "query_get_disallowed_params"),
        ("/gateway/a", "rvt-namespace=n&rvt-method=getOrCreate", "query_missing_pool"),
        ("/gateway/a@t", GET, "query_path_token_syntax"),
        ("/gateway/a", CREATE + "&rvt-input=9g%3D%3D", "query_invalid_base64_input"),
        ("/gateway/a", CREATE + "&rvt-input=a", "query_invalid_base64_input"),
        ("/gateway/a", CREATE + "&rvt-input=gg", "query_invalid_cbor_input"),
        ("/gateway/a", CREATE + "&rvt-input=", "query_invalid_cbor_input"),
        ("/gateway/a", GET + "&rvt-key=%ff", "query_invalid_percent_encoding"),
        ("/gateway/%ff", GET, "query_invalid_percent_encoding"),
        ("/gateway/", GET, "query_empty_actor_name"),
    ],
)
def test_a_wrong_query_has_its_own_error(path: str, query: str, code: str) -> None:
    with pytest.raises(RivetError) as caught:
        parse_gateway_path(path, query)

    assert (caught.value.group, caught.value.code) == ("guard", code)


def test_a_malformed_escape_is_kept_literally() -> None:
    target = parse_gateway_path("/gateway/a", GET + "&rvt-key=%zz")

    assert isinstance(target, QueryTarget)
    assert target.key == ("%zz",)
