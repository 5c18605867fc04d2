"""Raw requests: what an actor's own code answers (client-protocol 5.1)."""

from __future__ import annotations

from tests.contract.client import RawClient, by_key

SITE = by_key("site", "a")


async def test_a_handler_sees_the_request_below_its_prefix(client: RawClient) -> None:
    url = client.url(SITE, "/request/echo") + "&q=1"
    answer = await client.http.put(url, content="hello", headers={"x-asked": "yes"})
    assert answer.status_code == 200, answer.text
    assert answer.json() == {
        "method": "PUT",
        "path": "/echo",
        "query": {"q": "1"},
        "header": "yes",
        "body": "hello",
        "params": None,
        "conns": 1,
    }
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-rivet-actor"] == await client.id_of(SITE)
    assert answer.headers["x-rivet-actor-generation"] == "1"
