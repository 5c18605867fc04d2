"""What one generation is made of, and which part knows which (design: one subsystem a file, no middle man).

Invariants
    Parts are made once, before any client code runs; they know each other only through what they get here.
    Nothing here decides: what an actor does next is the task's matter, what a part does is the part's.
"""

from __future__ import annotations

from collections.abc import Callable

from rivetkit_core.actor.access import GatedAccess
from rivetkit_core.actor.alarm import Alarm
from rivetkit_core.actor.connections import Connections
from rivetkit_core.actor.context import ActorContext, ActorIdentity
from rivetkit_core.actor.database import Database
from rivetkit_core.actor.dispatch import Dispatch
from rivetkit_core.actor.factory import ActorFactory, ActorInstance
from rivetkit_core.actor.gate import Gate
from rivetkit_core.actor.gauges import Gauges
from rivetkit_core.actor.hibernation import ConnectionRecords
from rivetkit_core.actor.inspector_token import InspectorToken
from rivetkit_core.actor.kv import KeyValues
from rivetkit_core.actor.lifecycle import REFUSALS, Lifecycle
from rivetkit_core.actor.metered_database import MeteredDatabase
from rivetkit_core.actor.observer import StateObserver
from rivetkit_core.actor.outbox import Outbox
from rivetkit_core.actor.ports import ActorPorts
from rivetkit_core.actor.queue import ActorQueue
from rivetkit_core.actor.queue_store import Strict
from rivetkit_core.actor.raw import Raw
from rivetkit_core.actor.resources import Resources
from rivetkit_core.actor.restoring import RestoredConnections
from rivetkit_core.actor.run import RunHandler
from rivetkit_core.actor.saver import Saver
from rivetkit_core.actor.schedule import Schedule
from rivetkit_core.actor.shutdown import Shutdown
from rivetkit_core.actor.sleep import Sleep
from rivetkit_core.actor.startup import Startup
from rivetkit_core.actor.strict_records import StrictRecords
from rivetkit_core.actor.subscribing import Subscribing
from rivetkit_core.actor.waiting import WaitingSql
from rivetkit_core.actor.work import WorkRegistry
from rivetkit_core.metrics.recorder import Recorder


class ActorParts:
    """The subsystems of one generation, wired to each other.

    Args:
        lifecycle: Where in its life the generation is.
    """

    def __init__(
        self,
        factory: ActorFactory,
        identity: ActorIdentity,
        ports: ActorPorts,
        *,
        lifecycle: Callable[[], Lifecycle],
    ) -> None:
        self._factory = factory
        self._identity = identity
        self._ports = ports
        self._lifecycle = lifecycle
        self._config = config = factory.config
        self._log = log = identity.log
        self._clock = clock = ports.clock
        self._observer: StateObserver | None = None
        self.metrics = Recorder(clock, identity.actor_id, identity.name)
        self.work = WorkRegistry(self.metrics, log)
        self._metered = None if ports.database is None else MeteredDatabase(ports.database, self.metrics)
        self.sql = WaitingSql(self._metered)
        self.saver = self._make_saver()
        self.saver.snapshot.connections = self.conn_records = self._make_records()
        self.token = InspectorToken(ports.inspector, entropy=ports.entropy, saver=self.saver)
        self.outbox = Outbox(self.saver, strict=config.durability == "strict", log=log)
        self.connections = self._make_connections()
        self.restored = RestoredConnections(self.connections, backlog=config.connection_backlog)
        self.run = self._make_run()
        self.sleep = self._make_sleep()
        self.work.on_quiet = self.sleep.touch
        self.records = StrictRecords(ports.storage, saver=self.saver, gated=self._gated)
        self.alarm = Alarm(storage=ports.storage, set_alarm=ports.host.set_alarm, log=log)
        self.gate = self._make_gate()
        self.schedule = self._make_schedule()
        self.queue = self._make_queue()
        self.kv = KeyValues(self.records, clock=clock, log=log)
        self.database = self._make_database()
        self.resources = Resources(clock, timeout=config.create_vars_timeout, log=log)
        self.context = self._make_context()
        self.context.abort_signal.add_callback(self.queue.abort)
        self.startup = self._make_startup()
        self.shutdown = self._make_shutdown()
        self.dispatch = self._make_dispatch()
        self.raw = self._make_raw()
        self.subscribing = self._make_subscribing()
        self.instance: ActorInstance = factory.create(self.context)
        self._observe()
        self.metrics.read = Gauges(
            work=self.work,
            connections=self.connections,
            queue=self.queue,
            gate=self.gate,
            database=self.database,
            metered=self._metered,
        ).read

    def touched(self) -> None:
        """User code ran, so state may have changed; whether it did is found out when it matters."""
        self._request_save()
        if self._observer is not None:
            self._observer.look()

    def _request_save(self) -> None:
        if self.instance.has_state:
            self.saver.request()

    # --- what parts ask of the whole ------------------------------------------------------------

    def _refusal(self) -> str | None:
        return "actor.destroying" if self.context.destroy_requested else REFUSALS.get(self._lifecycle())

    def _gated(self) -> bool:
        """Whether effects wait for the state's next save; during the start there may be none yet."""
        return self._lifecycle() is not Lifecycle.LOADING and self.outbox.gated

    def _busy(self) -> bool:
        """Whether user code runs that may change what a save has just taken down."""
        return self.work.active > 0 or (self.run.active and not self.work.queue_waits)

    def _capture(self) -> bytes:
        return self.instance.encode_state() if self.instance.has_state else b""

    def _sql_lost(self) -> None:
        self._log.error("SQLite undid what was not saved yet: the actor goes back to its storage")
        self.saver.lose()
        self._ports.host.report_crash("the database undid what was not saved yet")

    def _run_failed(self, failure: Exception) -> None:
        self._log.error("run failed", exc_info=failure)
        if self._config.run_error_policy == "crash" and not self.context.aborted:
            self._ports.host.report_crash(f"run failed: {failure}")

    def _run_ended(self) -> None:
        self.touched()
        self.work.nudge()
        self.sleep.touch()

    def _observe(self) -> None:
        if self.instance.has_state and self.instance.observes_state:
            self._observer = StateObserver(
                work=self.work, capture=self._capture, callback=self.instance.on_state_change
            )

    def _reset_observer(self) -> None:
        if self._observer is not None:
            self._observer.reset()

    # --- parts ----------------------------------------------------------------------------------

    def _make_saver(self) -> Saver:
        return Saver(
            storage=self._ports.storage,
            clock=self._clock,
            work=self.work,
            interval=self._config.state_save_interval,
            capture=self._capture,
            busy=self._busy,
            metrics=self.metrics,
            sql=self.sql,
            limit=self._ports.write_limit,
        )

    def _make_database(self) -> Database:
        database = Database(
            self._metered, clock=self._clock, log=self._log, saver=self.saver, gated=self._gated
        )
        self.saver.would_wait_for_itself = database.would_wait_for_itself
        self.sql.lost = self._sql_lost
        return database

    def _make_records(self) -> ConnectionRecords:
        return ConnectionRecords(
            request=lambda immediate: self.saver.request(immediate=immediate),
            busy=self._busy,
            encode=lambda conn: self.instance.encode_conn_state(conn),
            broken=lambda conn: conn.close(1011, "actor.hibernation_persist_failed"),
            log=self._log,
        )

    def _make_connections(self) -> Connections:
        return Connections(
            instance=lambda: self.instance,
            config=self._config,
            clock=self._clock,
            entropy=self._ports.entropy,
            work=self.work,
            outbox=self.outbox,
            touched=self.touched,
            emptied=lambda: self.sleep.touch(),
            records=self.conn_records,
            metrics=self.metrics,
        )

    def _make_run(self) -> RunHandler:
        return RunHandler(
            lambda: self.instance.run(),
            clock=self._clock,
            aborted=lambda: self.context.aborted,
            failed=self._run_failed,
            ended=self._run_ended,
            log=self._log,
        )

    def _make_sleep(self) -> Sleep:
        return Sleep(
            clock=self._clock,
            config=self._config,
            work=self.work,
            ready=lambda: self._lifecycle() is Lifecycle.STARTED,
            connections=lambda: self.connections.keeping_awake,
            running=lambda: self.run.active,
            request=self._ports.host.request_sleep,
        )

    def _make_queue(self) -> ActorQueue:
        return ActorQueue(
            self.records,
            self._clock,
            self._factory,
            queue_wait=self.work.queue_wait,
            touched=self.touched,
            used=self.sleep.touch,
            alarm=self.alarm,
            metrics=self.metrics,
            log=self._log,
            strict=Strict(lambda: self.outbox.durability(False), self.records.then, self.records.settled),
        )

    def _make_gate(self) -> Gate:
        return Gate(
            identity=self._identity,
            capacity=self._config.dispatch_inbox_capacity,
            work=self.work,
            log=self._log,
            refusal=self._refusal,
            metrics=self.metrics,
            expose_errors=self._ports.expose_errors,
        )

    def _make_schedule(self) -> Schedule:
        return Schedule(
            storage=self._ports.storage,
            saver=self.saver,
            clock=self._clock,
            entropy=self._ports.entropy,
            work=self.work,
            factory=self._factory,
            alarm=self.alarm,
            gate=self.gate,
            gated=self._gated,
            run=lambda name, args: self.dispatch.run_scheduled(name, args),
            log=self._log,
        )

    def _make_context(self) -> ActorContext:
        return ActorContext(
            identity=self._identity,
            config=self._config,
            clock=self._ports.clock,
            entropy=self._ports.entropy,
            access=GatedAccess(self._ports.access, self.outbox),
            connections=self.connections,
            queue=self.queue,
            saver=self.saver,
            schedule=self.schedule,
            alarm=self.alarm,
            observer=lambda: self._observer,
            host=self._ports.host,
            work=self.work,
            run=self.run,
            sleep=self.sleep,
            kv=self.kv,
            database=self.database,
        )

    def _make_startup(self) -> Startup:
        return Startup(
            config=self._config,
            clock=self._clock,
            storage=self._ports.storage,
            saver=self.saver,
            schedule=self.schedule,
            connections=self.restored,
            resources=self.resources,
            capture=self._capture,
            made=self._reset_observer,
            metrics=self.metrics,
            token=self.token,
        )

    def _make_dispatch(self) -> Dispatch:
        return Dispatch(
            factory=self._factory,
            context=self.context,
            instance=lambda: self.instance,
            gate=self.gate,
            work=self.work,
            outbox=self.outbox,
            connections=self.connections,
            began=self._request_save,
            touched=self.touched,
            sleeping=lambda: self._lifecycle() is Lifecycle.SLEEP_GRACE,
            metrics=self.metrics,
        )

    def _make_raw(self) -> Raw:
        return Raw(
            config=self._config,
            clock=self._clock,
            instance=lambda: self.instance,
            gate=self.gate,
            work=self.work,
            outbox=self.outbox,
            connections=self.connections,
            open_connection=self.dispatch.open_for_request,
            touched=self.touched,
            metrics=self.metrics,
        )

    def _make_subscribing(self) -> Subscribing:
        return Subscribing(
            instance=lambda: self.instance,
            config=self._config,
            clock=self._clock,
            gate=self.gate,
            work=self.work,
            outbox=self.outbox,
            connections=self.connections,
            touched=self.touched,
        )

    def _make_shutdown(self) -> Shutdown:
        return Shutdown(
            config=self._config,
            clock=self._clock,
            work=self.work,
            run=self.run,
            connections=self.connections,
            database=self.database,
            queue=self.queue,
            resources=self.resources,
            outbox=self.outbox,
            saver=self.saver,
            alarm=self.alarm,
            prevented=lambda: self.sleep.prevented,
            instance=lambda: self.instance,
            log=self.context.log,
            metrics=self.metrics,
        )
