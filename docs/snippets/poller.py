from collections.abc import AsyncGenerator

import httpx
from pydantic import BaseModel

from rivetkit import Actor, Registry, action, actor, resource


class Readings(BaseModel):
    url: str = "https://example.com/temperature"
    last: str = ""
    sleeps: int = 0


@actor(sleep_timeout=60.0, sleep_grace_period=10.0)
class Sensor(Actor):
    state: Readings

    @resource
    async def http(self) -> AsyncGenerator[httpx.AsyncClient]:
        async with httpx.AsyncClient(timeout=5.0) as client:
            yield client

    async def on_migrate(self, is_new: bool) -> None:
        self.ctx.log.info("starting", extra={"first_time": is_new})

    async def on_sleep(self) -> None:
        self.state.sleeps += 1

    @action
    async def read(self) -> str:
        answer = await self.http.get(self.state.url)
        self.state.last = answer.text
        self.ctx.wait_until(self.report(answer.text))
        return answer.text

    @action
    async def rest(self) -> int:
        await self.ctx.sleep()
        return self.state.sleeps

    async def report(self, text: str) -> None:
        self.ctx.log.info("read %s", text)


registry = Registry(Sensor)
