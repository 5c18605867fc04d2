"""Who runs where: generations, commands, events and alarms (envoy-protocol 5).

    ASLEEP ──wake──> PENDING ──envoy──> STARTING ──Running──> RUNNING ──Stop command──> STOPPING
       ^                                   │                     │                         │
       └──────────── Stopped, lost ────────┴─────────────────────┴─────────────────────────┤
                                                                     DESTROYED <───────────┘

Stopped(OK) that nobody asked for destroys the actor.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from rivetkit_core.clock import Clock, time_ms
from rivetkit_core.testing.engine.actors import ActorState, GatewayFailure, ScriptedActor, Visitor
from rivetkit_core.testing.engine.envoys import Envoy
from rivetkit_core.testing.engine.settings import EngineSettings
from rivetkit_core.wire.envoy.messages import (
    AckEvents,
    Checkpoint,
    Command,
    CommandEntry,
    EventEntry,
    Running,
    SetAlarm,
    SleepIntent,
    StartActor,
    StopActor,
    StopCode,
    StopIntent,
    Stopped,
    StopReason,
)

_MAX_FAILED_WAKES = 8
_RUNS = (ActorState.STARTING, ActorState.RUNNING, ActorState.STOPPING)


class Lifecycle:
    """Moves actors between states. It calls visitors and envoys, and knows neither's messages."""

    def __init__(self, clock: Clock, settings: EngineSettings, envoys: Callable[[], Iterable[Envoy]]) -> None:
        self._clock = clock
        self._settings = settings
        self._envoys = envoys
        self._observers: list[Callable[[ScriptedActor], None]] = []

    def observe(self, observer: Callable[[ScriptedActor], None]) -> None:
        """Call ``observer`` after every change of state."""
        self._observers.append(observer)

    # What clients and the management API ask for

    def join(self, actor: ScriptedActor, visitor: Visitor) -> None:
        """Bring a visitor to the actor, waking it if need be."""
        if actor.state is ActorState.DESTROYED:
            visitor.actor_refused(GatewayFailure(404, "actor.not_found"))
        elif actor.state is ActorState.RUNNING:
            actor.attached.append(visitor)
            visitor.actor_ready(actor)
        else:
            actor.waiting.append(visitor)
            self.wake(actor)

    def leave(self, actor: ScriptedActor, visitor: Visitor) -> None:
        """The visitor needs the actor no longer."""
        for visitors in (actor.waiting, actor.attached):
            if visitor in visitors:
                visitors.remove(visitor)

    def wake(self, actor: ScriptedActor) -> None:
        if actor.state is ActorState.ASLEEP:
            self._allocate(actor)
        elif actor.state is ActorState.STOPPING:
            actor.wake_wanted = True

    def stop(self, actor: ScriptedActor, reason: StopReason) -> None:
        """Ask the host to stop the actor; one command a generation, later reasons change the outcome."""
        if actor.state is ActorState.STOPPING:
            if reason is StopReason.DESTROY:
                actor.stop_reason = reason
        elif actor.state in _RUNS:
            actor.stop_reason = reason
            self._command(actor, StopActor(reason))
            actor.sql.end_session()
            self._enter(actor, ActorState.STOPPING)
        elif reason is StopReason.DESTROY and actor.state is not ActorState.DESTROYED:
            self._destroy(actor)

    # What envoys do

    def allocate_pending(self, actors: Iterable[ScriptedActor]) -> None:
        """Place those that wait for an envoy, if there is one now."""
        for actor in actors:
            if actor.state is ActorState.PENDING:
                self._allocate(actor)

    def drain(self, envoy: Envoy) -> None:
        """Take every actor away from an envoy that gets no new ones."""
        envoy.draining = True
        for actor in list(envoy.actors.values()):
            self.stop(actor, StopReason.GOING_AWAY)

    def lose(self, envoy: Envoy) -> None:
        """Give up on an envoy that did not come back; its actors run again when they are asked for."""
        envoy.forget_traffic()
        for actor in list(envoy.actors.values()):
            actor.error = "envoy_connection_lost"
            if actor.state is not ActorState.STOPPING:
                self._command(actor, StopActor(StopReason.LOST))
            if actor.stop_reason in (StopReason.DESTROY, StopReason.STOP_INTENT):
                self._destroy(actor)
            else:
                self._fall_asleep(actor, lost=True)

    def take_event(self, envoy: Envoy, entry: EventEntry, actor: ScriptedActor) -> bool:
        """Apply an event; says whether it counted."""
        position = entry.checkpoint
        if actor.envoy is not envoy or position.generation != actor.generation:
            return False
        if position.index <= actor.last_event:
            return False
        actor.last_event = position.index
        match entry.event:
            case Running():
                self._running(actor)
            case Stopped(code, message):
                self._stopped(actor, code, message)
            case SleepIntent():
                self._intend(actor, StopReason.SLEEP_INTENT)
            case StopIntent():
                self._intend(actor, StopReason.STOP_INTENT)
            case SetAlarm(alarm_ts):
                actor.alarm_ts, actor.alarm_fired = alarm_ts, False
                self._arm(actor)
        return True

    def acknowledge_events(self, envoy: Envoy, actors: Iterable[ScriptedActor]) -> None:
        """Acknowledge what has piled up, as rarely as the engine does."""
        done: list[Checkpoint] = []
        for actor in actors:
            if actor.last_event - actor.acked_event > self._settings.events_per_ack:
                actor.acked_event = actor.last_event
                done.append(Checkpoint(actor.actor_id, actor.generation, actor.last_event))
        if done:
            envoy.deliver(AckEvents(tuple(done)))

    def forget_timers(self, actor: ScriptedActor) -> None:
        for timer in (actor.alarm_timer, actor.start_timer):
            if timer is not None:
                timer.cancel()
        actor.alarm_timer = actor.start_timer = None

    # Steps

    def _allocate(self, actor: ScriptedActor) -> None:
        self.forget_timers(actor)
        envoy = self._choose(actor)
        if envoy is None:
            self._enter(actor, ActorState.PENDING)
            return
        actor.generation += 1
        actor.envoy, actor.stop_reason, actor.wake_wanted = envoy, None, False
        actor.next_command, actor.last_event, actor.acked_event = 1, -1, -1
        envoy.actors[actor.actor_id] = actor
        generation = actor.generation
        threshold = self._settings.start_threshold_ms / 1000
        actor.start_timer = self._clock.call_later(threshold, lambda: self._too_late(actor, generation))
        self._enter(actor, ActorState.STARTING)
        start = StartActor(actor.name, actor.key, time_ms(self._clock), actor.input, tuple(actor.hibernating))
        self._command(actor, start)

    def _choose(self, actor: ScriptedActor) -> Envoy | None:
        """The least busy of those with the highest version."""
        fit = [
            envoy
            for envoy in self._envoys()
            if envoy.ready
            and not envoy.draining
            and (envoy.hello.namespace, envoy.hello.pool) == (actor.namespace, actor.pool)
        ]
        return min(fit, key=lambda envoy: (-envoy.hello.version, len(envoy.actors)), default=None)

    def _command(self, actor: ScriptedActor, command: Command) -> None:
        assert actor.envoy is not None
        index, actor.next_command = actor.next_command, actor.next_command + 1
        actor.envoy.command(CommandEntry(Checkpoint(actor.actor_id, actor.generation, index), command))

    def _running(self, actor: ScriptedActor) -> None:
        if actor.state is not ActorState.STARTING:
            return
        self.forget_timers(actor)
        actor.error, actor.failed_wakes = None, 0
        self._enter(actor, ActorState.RUNNING)
        waiting, actor.waiting = actor.waiting, []
        actor.attached += waiting
        for visitor in waiting:
            visitor.actor_ready(actor)

    def _intend(self, actor: ScriptedActor, reason: StopReason) -> None:
        if actor.state is not ActorState.STOPPING:
            self.stop(actor, reason)

    def _stopped(self, actor: ScriptedActor, code: StopCode, message: str | None) -> None:
        reason, failed = actor.stop_reason, code is StopCode.ERROR
        if failed:
            actor.error = f"crashed: {message or ''}"
            actor.failed_wakes += actor.state is ActorState.STARTING
        if reason is StopReason.DESTROY or (not failed and reason in (None, StopReason.STOP_INTENT)):
            self._destroy(actor)
        elif reason is StopReason.GOING_AWAY:
            actor.wake_wanted = True
            self._fall_asleep(actor)
        else:
            self._fall_asleep(actor)

    def _too_late(self, actor: ScriptedActor, generation: int) -> None:
        if actor.state is ActorState.STARTING and actor.generation == generation:
            actor.error = "envoy_no_response"
            self._fall_asleep(actor, lost=True)

    def _fall_asleep(self, actor: ScriptedActor, *, lost: bool = False) -> None:
        self._release(actor)
        self._enter(actor, ActorState.ASLEEP)
        attached, actor.attached = actor.attached, []
        for visitor in attached:
            visitor.actor_ended(actor, lost=lost)
        if actor.failed_wakes > _MAX_FAILED_WAKES:
            self._refuse_waiting(actor, GatewayFailure(503, "guard.actor_wake_retries_exceeded"))
        if actor.state is ActorState.ASLEEP and (actor.wake_wanted or actor.waiting):
            self._allocate(actor)
        else:
            self._arm(actor)

    def _destroy(self, actor: ScriptedActor) -> None:
        self._release(actor)
        actor.kv.clear()
        actor.sql.clear()
        actor.alarm_ts = None
        self._enter(actor, ActorState.DESTROYED)
        attached, actor.attached = actor.attached, []
        for visitor in attached:
            visitor.actor_ended(actor, lost=False)
        self._refuse_waiting(actor, GatewayFailure(404, "actor.not_found"))

    def _refuse_waiting(self, actor: ScriptedActor, failure: GatewayFailure) -> None:
        actor.failed_wakes = 0
        waiting, actor.waiting = actor.waiting, []
        for visitor in waiting:
            visitor.actor_refused(failure)

    def _release(self, actor: ScriptedActor) -> None:
        self.forget_timers(actor)
        if actor.envoy is not None:
            actor.envoy.actors.pop(actor.actor_id, None)
            actor.envoy = None

    def _arm(self, actor: ScriptedActor) -> None:
        """Set the timer of an alarm; only a sleeping actor has one."""
        if actor.alarm_timer is not None:
            actor.alarm_timer.cancel()
            actor.alarm_timer = None
        if actor.state is ActorState.ASLEEP and actor.alarm_ts is not None:
            delay = (actor.alarm_ts - time_ms(self._clock)) / 1000
            actor.alarm_timer = self._clock.call_later(max(0.0, delay), lambda: self._ring(actor))

    def _ring(self, actor: ScriptedActor) -> None:
        # The engine keeps an alarm that fired: the next sleep bounces once more unless the host set another.
        if actor.alarm_fired:
            actor.alarm_ts = None
        actor.alarm_fired = True
        self.wake(actor)

    def _enter(self, actor: ScriptedActor, state: ActorState) -> None:
        actor.state = state
        for observer in self._observers:
            observer(actor)
