from rivetkit import ActionGroup, Actor, Client, action, actor


class Users(ActionGroup["Team"]):
    @action
    def add(self, name: str) -> int:
        self.actor.state.append(name)
        return len(self.actor.state)


@actor
class Team(Actor):
    state: list[str] = []
    users = Users()


async def invite(client: Client) -> int:
    return await client.get_or_create(Team, "red").call(Team.users.add, "Ada")  # "users.add" on the wire
