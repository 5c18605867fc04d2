from __future__ import annotations

import pytest

from rivetkit.client._endpoint import Gateway, Settings
from rivetkit_core.errors import RivetError
from rivetkit_core.wire.messages import Encoding

VARIABLES = ["RIVET_ENGINE", "RIVET_ENDPOINT", "RIVET_NAMESPACE", "RIVET_TOKEN", "RIVET_POOL"]


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


def test_the_defaults_reach_a_local_server() -> None:
    assert Settings.read() == Settings(
        Gateway("http://127.0.0.1:6420", "default", None), "default", Encoding.BARE, {}
    )


def test_the_environment_fills_what_was_not_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RIVET_ENDPOINT", "https://there.example/api/")
    monkeypatch.setenv("RIVET_NAMESPACE", "prod")
    monkeypatch.setenv("RIVET_TOKEN", "secret")
    monkeypatch.setenv("RIVET_POOL", "big")
    settings = Settings.read()
    assert settings.gateway == Gateway("https://there.example/api", "prod", "secret")
    assert settings.pool == "big"


def test_the_engine_variable_wins_over_the_endpoint_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RIVET_ENGINE", "http://engine.example")
    monkeypatch.setenv("RIVET_ENDPOINT", "http://endpoint.example")
    assert Settings.read().gateway.base == "http://engine.example"


def test_arguments_win_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.setenv(name, "http://environment.example")
    settings = Settings.read("http://here.example", "mine", "token", "pool", "json")
    assert settings.gateway == Gateway("http://here.example", "mine", "token")
    assert (settings.pool, settings.encoding) == ("pool", Encoding.JSON)


def test_the_endpoint_may_name_namespace_and_token() -> None:
    gateway = Settings.read("http://prod:s%2Fcret@here.example").gateway
    assert gateway == Gateway("http://here.example", "prod", "s/cret")


@pytest.mark.parametrize(("namespace", "token"), [("other", None), (None, "other")])
def test_namespace_and_token_are_given_once(namespace: str | None, token: str | None) -> None:
    with pytest.raises(RivetError, match="given twice"):
        Settings.read("http://prod:secret@here.example", namespace, token)


def test_a_token_is_not_shown() -> None:
    assert "secret" not in repr(Settings.read("http://here.example", token="secret"))


def test_metadata_may_send_clients_elsewhere() -> None:
    gateway = Gateway("http://here.example", "default", "old")
    assert gateway.redirected(
        {"clientEndpoint": "https://there.example/x", "clientNamespace": "prod", "clientToken": "new"}
    ) == Gateway("https://there.example/x", "prod", "new")


def test_without_an_endpoint_metadata_changes_nothing() -> None:
    gateway = Gateway("http://here.example", "default", "old")
    assert gateway.redirected({"clientNamespace": "prod", "clientToken": "new"}) == gateway


def test_an_endpoint_alone_keeps_namespace_and_token() -> None:
    gateway = Gateway("http://here.example", "default", "old")
    redirected = gateway.redirected({"clientEndpoint": "http://there.example"})
    assert redirected == Gateway("http://there.example", "default", "old")
