"""Every metric: its names, its labels and what it means. The documentation's table is checked against this.

A metric has a name in the numbers of one actor, a name in those of the whole process, or both; dashboards
made for other SDKs know these names.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from rivetkit_core.metrics.series import DURATIONS, FAST_DURATIONS

Kind = Literal["counter", "gauge", "histogram"]

PREFIX = "rivet_rivetkit_"
ACTOR_LABELS = ("actor_id", "actor_name")
PROCESS_LABELS = ("actor_name",)


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric.

    Attributes:
        key: What the code calls it.
        labels: Besides the actor's own.
        actor: Name in the numbers of one actor; None if it is not among them.
        process: Name in those of the process, without ``PREFIX``; None likewise.
    """

    key: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    actor: str | None = None
    process: str | None = None
    bounds: Sequence[float] = DURATIONS


def _both(
    kind: Kind, actor: str, process: str, help: str, *labels: str, bounds: Sequence[float] = DURATIONS
) -> Metric:
    return Metric(actor, kind, help, labels, actor, f"actor_{process}", bounds)


def _same(kind: Kind, name: str, help: str, *labels: str, bounds: Sequence[float] = DURATIONS) -> Metric:
    return _both(kind, name, name, help, *labels, bounds=bounds)


def _actor(kind: Kind, name: str, help: str, *labels: str) -> Metric:
    return Metric(name, kind, help, labels, actor=name)


def _process(kind: Kind, name: str, help: str, *labels: str) -> Metric:
    return Metric(name, kind, help, labels, process=f"actor_{name}")


_LIFE = (
    _process("gauge", "active_count", "Actors that run in this process."),
    _process("counter", "started_total", "Actors started in this process."),
    _process("counter", "stopped_total", "Actors stopped in this process."),
    _process(
        "histogram",
        "startup_phase_duration_seconds",
        "Time of each phase of a start.",
        "phase",
        "is_new",
        "outcome",
    ),
    _process("histogram", "create_state_duration_seconds", "Time to create the first state."),
    _process("histogram", "create_vars_duration_seconds", "Time to create the vars."),
    _actor("gauge", "create_state_ms", "Milliseconds create_state took in this start."),
    _actor("gauge", "on_migrate_ms", "Milliseconds on_migrate took in this start."),
    _actor("gauge", "on_wake_ms", "Milliseconds on_wake took in this start."),
    _actor("gauge", "create_vars_ms", "Milliseconds create_vars took in this start."),
    _actor("gauge", "total_startup_ms", "Milliseconds this start took."),
    _same("histogram", "shutdown_wait_seconds", "Time accepted work was waited for at the end.", "reason"),
    _same("counter", "shutdown_timeout_total", "Ends at which the grace period ran out.", "reason"),
    _same("gauge", "shutdown_tasks_active", "Background work that an end would wait for."),
    _same(
        "counter",
        "direct_subsystem_shutdown_warning_total",
        "Parts of an actor that did not end in time.",
        "subsystem",
        "operation",
    ),
)

_WORK = (
    _same("counter", "action_call_total", "Calls of each action.", "action"),
    _same("counter", "action_error_total", "Calls of each action that gave no result.", "action"),
    _same("histogram", "action_duration_seconds", "Time each action took.", "action"),
    _same("gauge", "user_tasks_active", "Work of the actor's code that is under way.", "kind"),
    _same("histogram", "user_task_duration_seconds", "Time the work of the actor's code took.", "kind"),
    _same("gauge", "keep_awake_active", "Regions that keep the actor awake.", "kind"),
    _same("gauge", "http_requests_active", "HTTP requests that actors are answering."),
    _both("gauge", "active_connections", "connections_active", "Open connections."),
    _both("counter", "connections_total", "connections_total", "Connections that were admitted."),
)

_INBOXES = (
    _process("gauge", "inbox_depth", "What was accepted and is not answered yet.", "inbox"),
    _actor("gauge", "lifecycle_inbox_depth", "Starts and stops under way."),
    _actor("gauge", "dispatch_inbox_depth", "Client work that was accepted and is not answered yet."),
    _actor("gauge", "lifecycle_event_inbox_depth", "Events of the actor itself that wait."),
    _same("counter", "lifecycle_inbox_overload_total", "Starts and stops that found no room.", "command"),
    _same("counter", "dispatch_inbox_overload_total", "Client work that found no room.", "command"),
    _same("counter", "lifecycle_event_overload_total", "Events of the actor that found no room.", "event"),
)

_STORAGE = (
    _same("gauge", "queue_depth", "Messages in the actor's queues."),
    _same("counter", "queue_messages_sent_total", "Messages that were stored."),
    _same("counter", "queue_messages_received_total", "Messages that were handed to a receiver."),
    _same("counter", "state_mutation_total", "Changes of the stored snapshot.", "reason"),
    _same("histogram", "state_save_duration_seconds", "Time each write of the state took.", "outcome"),
    _same(
        "histogram",
        "sqlite_worker_command_duration_seconds",
        "Time each use of ctx.db took, waiting for its turn not counted.",
        "operation",
        "is_tx",
        "stmt_kind",
        bounds=FAST_DURATIONS,
    ),
    _same("counter", "sqlite_worker_command_error_total", "Uses of ctx.db that failed.", "operation", "code"),
    _same("gauge", "sqlite_worker_queue_depth", "Uses of ctx.db that wait for their turn."),
    _same("gauge", "sqlite_workers_active", "Databases in use."),
    _same(
        "histogram",
        "sqlite_worker_close_duration_seconds",
        "Time it took to close a database.",
        bounds=FAST_DURATIONS,
    ),
)

METRICS: tuple[Metric, ...] = (*_LIFE, *_WORK, *_INBOXES, *_STORAGE)
BY_KEY = {metric.key: metric for metric in METRICS}

INFO_NAME = f"{PREFIX}info"
INFO_HELP = "What this process is; always 1."
INFO_LABELS = ("runtime", "version", "type", "envoy_version", "envoy_kind", "pool_name")
