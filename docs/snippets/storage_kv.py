from datetime import date

from rivetkit import Actor, action


class Visits(Actor):
    @action
    async def visit(self, day: date, who: str) -> int:
        await self.ctx.kv.put(f"{day}/{who}", {"who": who})
        return len(await self.ctx.kv.list(f"{day}/"))

    @action
    async def last_days(self, count: int) -> list[str]:
        found = await self.ctx.kv.list("", type="json", reverse=True, limit=count)
        return [f"{key}: {value['who']}" for key, value in found]

    @action
    async def forget_before(self, day: date) -> None:
        await self.ctx.kv.delete_range("", str(day))
