"""What is added up over the actors of a process."""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client.parser import text_string_to_metric_families

from rivetkit_core.metrics.names import METRICS, PREFIX
from rivetkit_core.metrics.process import ProcessMetrics, actor_text
from rivetkit_core.metrics.recorder import Recorder
from rivetkit_core.testing import FakeClock


def samples(text: bytes) -> Mapping[str, float]:
    """Every sample by its name and labels, as one string."""
    return {
        " ".join([sample.name, *(f"{name}={value}" for name, value in sample.labels.items())]): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def life(process: ProcessMetrics, number: int, *, connections: int = 0) -> Recorder:
    recorder = Recorder(FakeClock(), f"id{number}", "room")
    recorder.read = lambda: {("active_connections",): connections}
    process.enter(recorder)
    process.started(recorder)
    return recorder


def test_actors_of_one_name_are_added_up() -> None:
    process = ProcessMetrics()
    for number in (1, 2):
        life(process, number, connections=number).count("connections_total", by=number)
    seen = samples(process.text())
    assert seen[f"{PREFIX}actor_active_count actor_name=room"] == 2
    assert seen[f"{PREFIX}actor_connections_active actor_name=room"] == 3
    assert seen[f"{PREFIX}actor_connections_total actor_name=room"] == 3


def test_counters_outlive_their_actor_and_gauges_do_not() -> None:
    process = ProcessMetrics()
    ended = life(process, 1, connections=4)
    ended.count("connections_total", by=4)
    ended.observe("shutdown_wait_seconds", "sleep", seconds=0.2)
    process.leave(ended)
    process.leave(ended)
    life(process, 1, connections=1).count("connections_total")
    seen = samples(process.text())
    assert seen[f"{PREFIX}actor_connections_total actor_name=room"] == 5
    assert seen[f"{PREFIX}actor_connections_active actor_name=room"] == 1
    assert seen[f"{PREFIX}actor_active_count actor_name=room"] == 1
    assert seen[f"{PREFIX}actor_started_total actor_name=room"] == 2
    assert seen[f"{PREFIX}actor_stopped_total actor_name=room"] == 1
    assert seen[f"{PREFIX}actor_shutdown_wait_seconds_count actor_name=room reason=sleep"] == 1


def test_reading_changes_nothing() -> None:
    process = ProcessMetrics()
    process.leave(life(process, 1))
    life(process, 2)
    assert process.text() == process.text()


def test_a_start_that_failed_counts_as_no_actor() -> None:
    process = ProcessMetrics()
    recorder = Recorder(FakeClock(), "id", "room")
    process.enter(recorder)
    process.leave(recorder)
    seen = samples(process.text())
    assert seen.get(f"{PREFIX}actor_started_total actor_name=room", 0) == 0
    assert seen.get(f"{PREFIX}actor_stopped_total actor_name=room", 0) == 0


def test_two_hosts_share_nothing() -> None:
    one, other = ProcessMetrics(), ProcessMetrics()
    life(one, 1)
    assert samples(other.text()) == {}


def test_a_process_says_what_it_is() -> None:
    process = ProcessMetrics()
    process.describe(envoy_version=3, envoy_kind="serverful", pool="blue")
    line = next(line for line in process.text().decode().splitlines() if line.startswith(f"{PREFIX}info{{"))
    assert 'envoy_version="3",envoy_kind="serverful",pool_name="blue"' in line


def test_every_metric_is_announced_where_it_belongs() -> None:
    of_actor = actor_text(Recorder(FakeClock(), "id", "room")).decode()
    of_process = ProcessMetrics().text().decode()
    for metric in METRICS:
        assert metric.actor is None or f"# TYPE {metric.actor} {metric.kind}\n" in of_actor
        name = f"{PREFIX}{metric.process}"
        assert metric.process is None or f"# TYPE {name} {metric.kind}\n" in of_process


def test_the_names_are_those_of_the_reference() -> None:
    names = {metric.process for metric in METRICS}
    assert {f"actor_{name}" for name in REFERENCE} <= names
    assert set(REFERENCE_OF_ACTORS) <= {metric.actor for metric in METRICS}


REFERENCE = [
    "active_count",
    "started_total",
    "stopped_total",
    "startup_phase_duration_seconds",
    "create_state_duration_seconds",
    "create_vars_duration_seconds",
    "queue_depth",
    "queue_messages_sent_total",
    "queue_messages_received_total",
    "connections_active",
    "connections_total",
    "inbox_depth",
    "user_tasks_active",
    "user_task_duration_seconds",
    "http_requests_active",
    "keep_awake_active",
    "shutdown_tasks_active",
    "shutdown_wait_seconds",
    "shutdown_timeout_total",
    "state_mutation_total",
    "direct_subsystem_shutdown_warning_total",
]

REFERENCE_OF_ACTORS = [
    "create_state_ms",
    "on_migrate_ms",
    "on_wake_ms",
    "create_vars_ms",
    "total_startup_ms",
    "action_call_total",
    "action_error_total",
    "action_duration_seconds",
    "queue_depth",
    "queue_messages_sent_total",
    "queue_messages_received_total",
    "active_connections",
    "connections_total",
    "lifecycle_inbox_depth",
    "dispatch_inbox_depth",
    "lifecycle_event_inbox_depth",
    "lifecycle_inbox_overload_total",
    "dispatch_inbox_overload_total",
    "lifecycle_event_overload_total",
    "user_tasks_active",
    "user_task_duration_seconds",
    "shutdown_wait_seconds",
    "shutdown_timeout_total",
    "state_mutation_total",
    "direct_subsystem_shutdown_warning_total",
]
