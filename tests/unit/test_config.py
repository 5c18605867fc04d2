"""Options of one actor (actor-runtime 1)."""

from __future__ import annotations

import dataclasses
import math

import pytest

from rivetkit_core.config import ActorConfig, ConfigError

DURATIONS = [field.name for field in dataclasses.fields(ActorConfig) if isinstance(field.default, float)] + [
    "on_destroy_timeout"
]
COUNTS = [field.name for field in dataclasses.fields(ActorConfig) if isinstance(field.default, int)]


def test_sparse_options_keep_the_other_defaults() -> None:
    assert ActorConfig.from_input({"action_timeout": 5}) == ActorConfig(action_timeout=5)
    assert ActorConfig.from_input({}) == ActorConfig()


def test_the_defaults_are_the_references() -> None:
    config = ActorConfig()
    assert (config.action_timeout, config.on_connect_timeout, config.state_save_interval) == (60, 5, 1)
    assert (config.max_incoming_message_size, config.max_outgoing_message_size) == (65_536, 1_048_576)
    assert config.dispatch_inbox_capacity == 1024
    assert config.shutdown_grace_period == 15


def test_an_unknown_option_is_named_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"'actoin_timeout'.*action_timeout"):
        ActorConfig.from_input({"actoin_timeout": 5})


@pytest.mark.parametrize("name", DURATIONS + COUNTS)
@pytest.mark.parametrize("value", [0, -1, 2**32, math.nan, math.inf, True, "5"])
def test_a_value_out_of_range_is_refused(name: str, value: object) -> None:
    with pytest.raises(ConfigError, match=name):
        ActorConfig.from_input({name: value})


@pytest.mark.parametrize("name", COUNTS)
def test_a_count_is_a_whole_number(name: str) -> None:
    with pytest.raises(ConfigError, match=name):
        ActorConfig.from_input({name: 1.5})


@pytest.mark.parametrize("name", DURATIONS)
def test_a_duration_may_be_a_fraction_of_a_second(name: str) -> None:
    ActorConfig.from_input({name: 0.25})


def test_only_the_destroy_budget_may_be_absent() -> None:
    assert ActorConfig(on_destroy_timeout=None).on_destroy_timeout is None
    with pytest.raises(ConfigError):
        ActorConfig.from_input({"action_timeout": None})


def test_durability_is_one_of_two() -> None:
    assert ActorConfig.from_input({"durability": "strict"}).durability == "strict"
    with pytest.raises(ConfigError, match="throttled, strict"):
        ActorConfig.from_input({"durability": "paranoid"})
