from rivetkit import Actor, action


class Parcel(Actor):
    @action
    async def scan(self, place: str) -> None:
        self.ctx.log.info("scanned", extra={"place": place})
