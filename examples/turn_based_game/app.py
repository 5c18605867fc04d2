"""One actor per game. A player who does not move within a day has lost, whether or not anybody looks.

Between moves the game sleeps; the alarm of the turn wakes it.

Run it with ``python -m examples.turn_based_game``; the client beside it plays against itself.
"""

from datetime import datetime, timedelta

from pydantic import BaseModel, Field

from examples.turn_based_game.board import Cells, Mark, other, winner
from rivetkit import Actor, Conn, Event, Registry, UserError, action, actor

TURN = timedelta(days=1)


class Player(BaseModel):
    """Connection parameters: who is calling."""

    name: str = Field(min_length=1, max_length=40)


class Game(BaseModel):
    players: dict[Mark, str] = {}
    cells: Cells = [None] * 9
    turn: Mark = "X"
    move_until: datetime | None = None
    winner: str | None = None
    over: bool = False


class GameState(BaseModel):
    game: Game = Game()
    alarm: str | None = None


@actor(name="game", durability="strict", sleep_timeout=10.0)
class TicTacToe(Actor):
    state: GameState
    conn: Conn[Player, None]

    changed = Event[Game]()

    @action
    async def join(self) -> Mark:
        """Take a seat; who has one keeps it."""
        game, name = self.state.game, self.conn.params.name
        for mark, player in game.players.items():
            if player == name:
                return mark
        if len(game.players) == 2:
            raise UserError("two are playing already", code="game_full")
        mark: Mark = "O" if game.players else "X"
        game.players[mark] = name
        if mark == "O":
            await self.begin_turn("X")
        self.changed.broadcast(game)
        return mark

    @action
    async def move(self, cell: int) -> Game:
        """Take a cell, 0 to 8."""
        game = self.state.game
        if game.over or len(game.players) < 2:
            raise UserError("nobody can move now", code="not_running")
        if game.players[game.turn] != self.conn.params.name:
            raise UserError(f"it is the turn of {game.players[game.turn]}", code="not_your_turn")
        if not 0 <= cell < 9 or game.cells[cell] is not None:
            raise UserError("that cell is not free", code="cell_taken")
        game.cells[cell] = game.turn
        if winner(game.cells) is not None:
            await self.end(game.turn)
        elif None not in game.cells:
            await self.end(None)
        else:
            await self.begin_turn(other(game.turn))
        self.changed.broadcast(game)
        return game

    @action
    def look(self) -> Game:
        return self.state.game

    @action
    async def time_is_up(self, turn: Mark, moves: int) -> None:
        """What the alarm runs. Only the turn it was set for has to fear it, whoever calls."""
        game = self.state.game
        if self.ctx.scheduled_fire is None or game.over or self.count_moves() != moves:
            return
        await self.end(other(turn))
        self.changed.broadcast(game)

    async def begin_turn(self, mark: Mark) -> None:
        game = self.state.game
        await self.stop_alarm()
        game.turn = mark
        game.move_until = self.ctx.now() + TURN
        self.state.alarm = await self.ctx.schedule.at(
            game.move_until, TicTacToe.time_is_up, mark, self.count_moves()
        )

    async def end(self, won: Mark | None) -> None:
        game = self.state.game
        await self.stop_alarm()
        game.over, game.move_until = True, None
        game.winner = None if won is None else game.players[won]

    async def stop_alarm(self) -> None:
        alarm, self.state.alarm = self.state.alarm, None
        if alarm is not None:
            await self.ctx.schedule.cancel(alarm)

    def count_moves(self) -> int:
        return 9 - self.state.game.cells.count(None)


registry = Registry(TicTacToe)
