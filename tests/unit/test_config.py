"""Options of one actor (actor-runtime 1)."""

from __future__ import annotations

import dataclasses
import math

import pytest

from rivetkit_core.config import ActorConfig, ConfigError

DURATIONS = [field.name for field in dataclasses.fields(ActorConfig) if isinstance(field.default, float)] + [
    "on_destroy_timeout",
    "sleep_grace_period",
    "shutdown_grace_period",
    "on_sleep_timeout",
    "wait_until_timeout",
    "run_stop_timeout",
]
COUNTS = [field.name for field in dataclasses.fields(ActorConfig) if type(field.default) is int]


def test_sparse_options_keep_the_other_defaults() -> None:
    assert ActorConfig.from_input({"action_timeout": 5}) == ActorConfig(action_timeout=5)
    assert ActorConfig.from_input({}) == ActorConfig()


def test_the_defaults_are_the_references() -> None:
    config = ActorConfig()
    assert (config.action_timeout, config.on_connect_timeout, config.state_save_interval) == (60, 5, 1)
    assert (config.max_incoming_message_size, config.max_outgoing_message_size) == (65_536, 1_048_576)
    assert config.dispatch_inbox_capacity == 1024
    assert (config.sleep_timeout, config.no_sleep, config.on_migrate_timeout) == (30, False, 30)
    assert (config.effective_sleep_grace_period(), config.sleep_grace_period_overridden) == (15, False)


@pytest.mark.parametrize(
    ("option", "milliseconds"),
    [
        ("state_save_interval", 1000),
        ("create_state_timeout", 5000),
        ("create_vars_timeout", 5000),
        ("create_conn_state_timeout", 5000),
        ("on_create_timeout", 5000),
        ("on_before_connect_timeout", 5000),
        ("on_connect_timeout", 5000),
        ("on_migrate_timeout", 30_000),
        ("on_wake_timeout", 30_000),
        ("action_timeout", 60_000),
        ("sleep_timeout", 30_000),
        ("connection_liveness_timeout", 2500),
        ("connection_liveness_interval", 5000),
    ],
)
def test_the_default_durations_are_the_references(option: str, milliseconds: int) -> None:
    assert getattr(ActorConfig(), option) * 1000 == milliseconds


@pytest.mark.parametrize(
    ("option", "value"),
    [("max_queue_size", 1000), ("max_queue_message_size", 65_536), ("max_schedules", 1000)],
)
def test_the_default_limits_are_the_references(option: str, value: int) -> None:
    assert getattr(ActorConfig(), option) == value


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


@pytest.mark.parametrize(
    ("options", "seconds"),
    [
        pytest.param({"sleep_grace_period": 15.0}, 15, id="the default, chosen"),
        pytest.param({"shutdown_grace_period": 4.0}, 4, id="another name"),
        pytest.param({"sleep_grace_period": 3.0, "on_sleep_timeout": 60.0}, 3, id="explicit wins"),
        pytest.param({"on_sleep_timeout": 8.0}, 23, id="legacy"),
        pytest.param({"on_sleep_timeout": 8.0, "wait_until_timeout": 2.0}, 10, id="both legacy"),
        pytest.param({"on_sleep_timeout": 5.0}, 15, id="legacy default"),
        pytest.param({"wait_until_timeout": 2.0}, 15, id="waiting alone"),
    ],
)
def test_the_grace_period_is_what_was_chosen(options: dict[str, object], seconds: float) -> None:
    config = ActorConfig.from_input(options)
    assert config.effective_sleep_grace_period() == seconds
    assert config.effective_sleep_grace_period(at_most=1.0) == 1
    assert config.effective_sleep_grace_period(at_most=100.0) == seconds


def test_a_grace_period_equal_to_the_default_still_was_chosen() -> None:
    assert ActorConfig(sleep_grace_period=15.0).sleep_grace_period_overridden
    assert not ActorConfig(on_sleep_timeout=8.0).sleep_grace_period_overridden


def test_a_grace_period_has_one_name_at_a_time() -> None:
    with pytest.raises(ConfigError, match="same option"):
        ActorConfig(sleep_grace_period=1.0, shutdown_grace_period=1.0)


def test_a_flag_is_true_or_false() -> None:
    assert ActorConfig.from_input({"no_sleep": True}).no_sleep
    with pytest.raises(ConfigError, match="no_sleep"):
        ActorConfig.from_input({"no_sleep": 1})


def test_the_policy_for_a_failing_run_is_one_of_two() -> None:
    with pytest.raises(ConfigError, match="sleep, crash"):
        ActorConfig.from_input({"run_error_policy": "retry"})
