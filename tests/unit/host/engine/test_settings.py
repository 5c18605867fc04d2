from __future__ import annotations

from pathlib import Path

import pytest

from rivetkit_core.config import ConfigError
from rivetkit_core.host.engine.settings import EngineSettings, is_local, read_settings
from rivetkit_core.wire.gateway_url import Endpoint


def test_without_variables_a_local_engine_is_used_and_started() -> None:
    settings = read_settings({})
    assert settings == EngineSettings(token="dev")
    assert settings.spawns


def test_an_empty_variable_counts_as_absent() -> None:
    assert read_settings({"RIVET_ENDPOINT": "", "RIVET_PORT": "", "RIVET_POOL": ""}) == read_settings({})


def test_the_endpoint_may_name_namespace_and_token() -> None:
    settings = read_settings({"RIVET_ENDPOINT": "https://prod:s%2Fcret@engine.example/api/"})
    assert (settings.endpoint, settings.namespace, settings.token) == (
        "https://engine.example/api",
        "prod",
        "s/cret",
    )


def test_a_remote_engine_gets_no_made_up_token_and_is_not_started() -> None:
    settings = read_settings({"RIVET_ENDPOINT": "https://engine.example"})
    assert settings.token is None
    assert not settings.spawns


def test_the_address_of_the_engine_to_run_makes_the_endpoint() -> None:
    settings = read_settings({"RIVET_RUN_ENGINE_HOST": "::1", "RIVET_RUN_ENGINE_PORT": "7000"})
    assert settings.endpoint == "http://[::1]:7000"
    assert settings.engine_address == ("::1", 7000)


def test_the_endpoint_wins_over_the_address_of_the_engine_to_run() -> None:
    settings = read_settings({"RIVET_ENDPOINT": "http://localhost:1", "RIVET_RUN_ENGINE_PORT": "2"})
    assert settings.endpoint == "http://localhost:1"


@pytest.mark.parametrize("name", ["RIVET_POOL", "RIVET_POOL_NAME"])
def test_both_names_of_the_pool_are_understood(name: str) -> None:
    assert read_settings({name: "big"}).pool == "big"


@pytest.mark.parametrize("name", ["RIVET_RUN_ENGINE_VERSION", "RIVETKIT_ENGINE_VERSION"])
def test_both_names_of_the_engine_version_are_understood(name: str) -> None:
    assert read_settings({name: "2.3.19"}).engine_version == "2.3.19"


def test_the_remaining_variables_are_read() -> None:
    settings = read_settings(
        {
            "RIVET_ENVOY_VERSION": "4294967295",
            "RIVETKIT_RUNTIME_MODE": "serverless",
            "RIVET_PORT": "8080",
            "RIVET_ENGINE_BINARY_PATH": "/opt/rivet-engine",
            "RIVETKIT_ENGINE_AUTO_DOWNLOAD": "true",
            "RIVETKIT_STORAGE_PATH": "/data",
            "RIVET_EXPOSE_ERRORS": "1",
        }
    )
    assert (settings.version, settings.mode, settings.port) == (4294967295, "serverless", 8080)
    assert settings.engine_binary == Path("/opt/rivet-engine")
    assert settings.storage == Path("/data/.rivetkit")
    assert settings.auto_install
    assert settings.expose_errors


@pytest.mark.parametrize(
    ("spawn", "run", "spawns"),
    [
        ("", "1", True),
        ("", "0", False),
        ("auto", "0", True),
        ("never", "", False),
        ("always", "", True),
        ("always", "1", True),
        ("never", "0", False),
    ],
)
def test_the_spawn_policy_decides_who_starts_the_engine(spawn: str, run: str, spawns: bool) -> None:
    settings = read_settings({"RIVETKIT_ENGINE_SPAWN": spawn, "RIVET_RUN_ENGINE": run})
    assert settings.spawns is spawns


def test_clients_are_told_the_endpoint_without_our_token() -> None:
    settings = read_settings({"RIVET_ENDPOINT": "https://prod:secret@engine.example"})
    assert settings.public == Endpoint("https://engine.example", "prod", None)


def test_clients_can_be_told_another_endpoint_and_a_token_of_their_own() -> None:
    settings = read_settings(
        {
            "RIVET_PUBLIC_ENDPOINT": "https://public.example",
            "RIVET_PUBLIC_TOKEN": "open",
            "RIVET_NAMESPACE": "n",
        }
    )
    assert settings.public == Endpoint("https://public.example", "n", "open")


@pytest.mark.parametrize(
    ("variable", "value", "advice"),
    [
        ("RIVET_ENDPOINT", "engine.example", "http://"),
        ("RIVET_ENDPOINT", "http://engine.example?x=1", "query string"),
        ("RIVET_RUN_ENGINE_HOST", "engine.example", "RIVET_ENDPOINT"),
        ("RIVET_RUN_ENGINE_HOST", "a b", "localhost"),
        ("RIVET_RUN_ENGINE_PORT", "0", "from 1 to 65535"),
        ("RIVET_ENVOY_VERSION", "4294967296", "from 0 to 4294967295"),
        ("RIVET_ENVOY_VERSION", "-1", "whole number"),
        ("RIVET_ENVOY_VERSION", "1.5", "whole number"),
        ("RIVET_ENVOY_VERSION", "9" * 5000, "whole number"),
        ("RIVET_PORT", "65536", "from 1 to 65535"),
        ("RIVETKIT_RUNTIME_MODE", "lambda", "envoy, serverless"),
        ("RIVETKIT_ENGINE_SPAWN", "maybe", "auto, always, never"),
        ("RIVET_RUN_ENGINE", "perhaps", "1, true, 0, false"),
        ("RIVETKIT_ENGINE_AUTO_DOWNLOAD", "2", "1, true, 0, false"),
        ("RIVET_POOL", "p" * 129, "at most 128"),
        ("RIVET_PUBLIC_ENDPOINT", "ftp://x", "http://"),
    ],
)
def test_an_invalid_value_is_named_with_its_variable_and_the_fix(
    variable: str, value: str, advice: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        read_settings({variable: value})
    assert variable in str(refused.value)
    assert advice in str(refused.value)


@pytest.mark.parametrize(
    "environ",
    [
        {"RIVET_POOL": "a", "RIVET_POOL_NAME": "b"},
        {"RIVET_NAMESPACE": "a", "RIVET_ENDPOINT": "http://b@engine.example"},
        {"RIVETKIT_ENGINE_SPAWN": "never", "RIVET_RUN_ENGINE": "1"},
    ],
)
def test_two_variables_that_disagree_are_refused(environ: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="give one of them"):
        read_settings(environ)


def test_an_engine_elsewhere_cannot_be_started_here() -> None:
    with pytest.raises(ConfigError, match="drop one"):
        read_settings({"RIVETKIT_ENGINE_SPAWN": "always", "RIVET_ENDPOINT": "https://engine.example"})


def test_a_token_is_shown_nowhere() -> None:
    environ = {"RIVET_ENDPOINT": "https://prod:secret@engine.example", "RIVET_PUBLIC_TOKEN": "hidden"}
    shown = repr(read_settings(environ))
    assert "secret" not in shown
    assert "hidden" not in shown


@pytest.mark.parametrize(
    "environ",
    [
        {"RIVET_ENDPOINT": "https://prod:secret@engine.example", "RIVET_TOKEN": "secret2"},
        {"RIVET_ENDPOINT": "ftp://prod:secret@engine.example"},
        {"RIVET_ENDPOINT": "http://prod:sec/secret@engine.example"},
        {"RIVET_ENDPOINT": "http://:secret@engine.example"},
    ],
)
def test_no_complaint_repeats_a_token(environ: dict[str, str]) -> None:
    with pytest.raises(ConfigError) as refused:
        read_settings(environ)
    assert "sec" not in str(refused.value)


@pytest.mark.parametrize(
    ("endpoint", "local"),
    [
        ("http://127.0.0.1:6420", True),
        ("http://127.8.8.8", True),
        ("http://[::1]:6420", True),
        ("http://0.0.0.0:6420", True),
        ("http://LOCALHOST:6420", True),
        ("http://app.localhost", True),
        ("http://notlocalhost", False),
        ("http://192.168.0.1", False),
        ("https://localhost", False),
        ("http://localhost/prefix", False),
    ],
)
def test_only_plain_loopback_is_local(endpoint: str, local: bool) -> None:
    assert is_local(endpoint) is local
