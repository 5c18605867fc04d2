"""Actors the contract suite talks to, and the strings the tests pull on them."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel

from rivetkit import Actor, Conn, Event, Queue, Retries, UserError, action, actor, create_state
from rivetkit._compiler import compile_actor
from rivetkit_core.actor.factory import ActorFactory
from rivetkit_core.errors import error
from tests.contract.access_actors import Hall
from tests.contract.life_actors import Keeper
from tests.contract.lounge import Den, Lounge
from tests.contract.probe import Probe as Probe
from tests.contract.probe import current as current
from tests.contract.queue_actors import Worker
from tests.contract.raw_actors import RAW_CLASSES
from tests.contract.storage_actors import STORAGE_CLASSES


class CounterState(BaseModel):
    count: int = 0


class CounterActions(Actor):
    """What counters of either durability do."""

    state: CounterState
    conn: Conn[object, None]

    changed = Event[int]()

    @action
    async def increment(self, by: int = 1) -> int:
        self.state.count += by
        self.changed.broadcast(self.state.count)
        return self.state.count

    @action
    async def get(self) -> int:
        return self.state.count

    @action
    async def whoami(self) -> list[object]:
        return [self.ctx.actor_id, list(self.ctx.key), self.ctx.generation]

    @action
    async def echo(self, value: object) -> object:
        return value

    @action
    async def params(self) -> object:
        return self.conn.params

    @action
    async def hold(self) -> str:
        """Answer when the test opens the gate."""
        current.probe.entered.set()
        await current.probe.gate.wait()
        return "held"

    @action
    async def hold_and_increment(self) -> int:
        current.probe.entered.set()
        await current.probe.gate.wait()
        self.state.count += 1
        return self.state.count

    @action
    async def repeat(self, text: str, times: int) -> str:
        return text * times

    @action
    async def refuse(self) -> None:
        raise UserError("not today", code="no", metadata={"why": "tired"})

    @action
    async def crash(self) -> None:
        raise RuntimeError("secret")

    @action
    async def kick(self, reason: str) -> None:
        await self.conn.disconnect(reason)

    @action
    async def bye(self) -> None:
        await self.ctx.destroy()

    async def on_destroy(self) -> None:
        current.probe.destroyed.append(self.ctx.actor_id)
        current.probe.destroying.set()

    async def on_disconnect(self, conn: Conn[object, None]) -> None:
        current.probe.disconnected.set()


@actor(name="counter", durability="strict")
class Counter(CounterActions):
    """Every reply is durable."""


@actor(name="throttled", state_save_interval=3600.0)
class Throttled(CounterActions):
    """Saves on its own only after an hour, so what survives was saved by the shutdown."""


@actor(name="odd name/ä")
class OddlyNamed(CounterActions):
    """Its name needs percent-encoding."""


@actor(name="slow")
class Slow(Actor):
    """Starts when the test opens the gate."""

    async def on_wake(self) -> None:
        current.probe.starts += 1
        current.probe.entered.set()
        await current.probe.gate.wait()

    @action
    async def ping(self) -> str:
        return "pong"


@actor(name="broken")
class Broken(Actor):
    """Fails to start as often as the test says."""

    async def on_create(self) -> None:
        current.probe.starts += 1
        if current.probe.failing_starts > 0:
            current.probe.failing_starts -= 1
            raise UserError("cannot start", code="broken")

    @action
    async def ping(self) -> str:
        return "pong"


class Given(BaseModel):
    value: object = None


@actor(name="given")
class Gift(Actor):
    """Keeps its input."""

    state: Given

    @create_state
    def initial(self, value: object = None) -> Given:
        return Given(value=value)

    @action
    async def get(self) -> object:
        return self.state.value


@actor(name="picky")
class Picky(Actor):
    """Takes no connections with the parameters ``"intruder"``."""

    conn: Conn[object, None]

    async def on_before_connect(self, params: object) -> None:
        if params == "intruder":
            raise error("auth.forbidden")
        if params == "clumsy":
            raise RuntimeError("secret")

    @action
    async def ping(self) -> str:
        return "pong"


@actor(name="planner")
class Planner(Actor):
    """Does things later; the test hears of them."""

    state: list[str]

    @action
    async def ring(self, text: str) -> None:
        fire = self.ctx.scheduled_fire
        assert fire is not None
        self.state.append(text)
        current.probe.rang.put_nowait(f"{text} {fire.kind} {fire.attempt}")

    @action
    async def fail_once(self) -> None:
        fire = self.ctx.scheduled_fire
        assert fire is not None
        current.probe.rang.put_nowait(f"try {fire.attempt}")
        if fire.attempt == 1:
            raise RuntimeError("once")

    @action
    async def plan(self, seconds: float, text: str) -> str:
        return await self.ctx.schedule.after(seconds, Planner.ring, text)

    @action
    async def plan_at(self, when: float, text: str) -> str:
        return await self.ctx.schedule.at(when, Planner.ring, text)

    @action
    async def plan_retried(self) -> None:
        retries = Retries(times=2, delay=0.01)
        await self.ctx.schedule.with_options(retries=retries).after(0.01, Planner.fail_once)

    @action
    async def cancel(self, id: str) -> bool:
        return await self.ctx.schedule.cancel(id)

    @action
    async def planned(self) -> list[str]:
        return [planned.id for planned in self.ctx.schedule.list()]

    @action
    async def set_daily(self, expression: str, timezone: str) -> None:
        cron = self.ctx.schedule.cron.with_options(timezone=timezone, max_history=7)
        await cron.set("daily", expression, Planner.ring, "daily")

    @action
    async def set_every(self, seconds: float) -> None:
        await self.ctx.schedule.cron.every("often", seconds, Planner.ring, "often")

    @action
    async def recurring(self) -> list[list[object]]:
        return [
            [
                one.name,
                one.expression,
                one.timezone,
                one.interval and one.interval.total_seconds(),
                list(one.args),
            ]
            for one in self.ctx.schedule.cron.list()
        ]

    @action
    async def drop(self, name: str) -> bool:
        return await self.ctx.schedule.cron.delete(name)

    @action
    async def runs(self, name: str) -> int:
        return len(await self.ctx.schedule.cron.history(name))

    @action
    async def read(self) -> list[str]:
        return self.state


class SleepyState(BaseModel):
    count: int = 0
    sleeps: int = 0


class SleepyActions(Actor):
    """Counts, remembers its lives, and tells when it went to sleep."""

    state: SleepyState
    conn: Conn[object, None]

    async def on_sleep(self) -> None:
        self.state.sleeps += 1
        current.probe.slept.append(self.ctx.generation)
        current.probe.asleep.set()

    async def on_wake(self) -> None:
        current.probe.woken.append(self.ctx.generation)
        if self.ctx.generation > 1:
            current.probe.awake.set()

    async def on_destroy(self) -> None:
        current.probe.destroyed.append(self.ctx.actor_id)

    @action
    async def increment(self) -> int:
        self.state.count += 1
        return self.state.count

    @action
    async def whoami(self) -> list[object]:
        return [self.ctx.actor_id, list(self.ctx.key), self.ctx.generation]

    @action
    async def lives(self) -> list[int]:
        return [self.ctx.generation, self.state.sleeps]

    @action
    async def nap(self) -> None:
        await self.ctx.sleep()

    @action
    async def nap_until(self, milliseconds: int) -> None:
        at = int(self.ctx.now().timestamp() * 1000) + milliseconds
        await self.ctx.__rivet_core__.set_alarm(at)
        await self.ctx.sleep()

    @action
    async def hold(self) -> str:
        current.probe.entered.set()
        await current.probe.gate.wait()
        return "held"

    @action
    async def bye(self) -> None:
        await self.ctx.destroy()


@actor(name="sleepy", sleep_timeout=0.1)
class Sleepy(SleepyActions):
    """Sleeps as soon as nothing happens."""


@actor(name="wakeful")
class Wakeful(SleepyActions):
    """Sleeps when it is told to."""


@actor(name="riser")
class Riser(SleepyActions):
    """Sleeps until something that it planned is due."""

    letters = Queue[str](delay=0.0)

    async def run(self) -> None:
        async for letter in self.letters:
            current.probe.rang.put_nowait(f"{letter.body} in {self.ctx.generation}")

    @action
    async def ring(self, text: str) -> None:
        current.probe.rang.put_nowait(f"{text} in {self.ctx.generation}")

    @action
    async def plan_and_nap(self, delay: float, text: str) -> None:
        await self.ctx.schedule.after(delay, Riser.ring, text)
        await self.ctx.sleep()

    @action(durability="strict")
    async def plan_strictly_and_nap(self, delay: float, text: str) -> None:
        await self.plan_and_nap(delay, text)

    @action
    async def send_and_nap(self, delay: float, text: str) -> None:
        await self.letters.send(text, delay=delay)
        await self.ctx.sleep()

    @action(durability="strict")
    async def send_strictly_and_nap(self, delay: float, text: str) -> None:
        await self.send_and_nap(delay, text)


CLASSES: Sequence[type[Actor]] = (
    Counter,
    Throttled,
    OddlyNamed,
    Slow,
    Broken,
    Gift,
    Picky,
    Sleepy,
    Wakeful,
    Riser,
    Worker,
    Planner,
    Hall,
    Keeper,
    Lounge,
    Den,
    *STORAGE_CLASSES,
    *RAW_CLASSES,
)

NAMES = tuple(factory.name for factory in map(compile_actor, CLASSES))


def factories() -> list[ActorFactory]:
    """All of them, compiled."""
    return [compile_actor(cls) for cls in CLASSES]
