from __future__ import annotations

import pytest

from examples.turn_based_game.app import TURN, Player, TicTacToe, registry
from rivetkit import ActorHandle, Registry, UserError
from rivetkit.testing import RivetTest

Seat = ActorHandle[TicTacToe]


@pytest.fixture
def rivet_registry() -> Registry:
    return registry


def sit(rivet: RivetTest, name: str) -> Seat:
    return rivet.client.get_or_create(TicTacToe, "table-1", params=Player(name=name))


@pytest.fixture
async def players(rivet: RivetTest) -> tuple[Seat, Seat]:
    ada, bob = sit(rivet, "Ada"), sit(rivet, "Bob")
    assert [await ada.call(TicTacToe.join), await bob.call(TicTacToe.join)] == ["X", "O"]
    return ada, bob


async def play(players: tuple[Seat, Seat], *cells: int) -> None:
    for turn, cell in enumerate(cells):
        await players[turn % 2].call(TicTacToe.move, cell)


async def test_three_in_a_row_win(players: tuple[Seat, Seat]) -> None:
    await play(players, 4, 0, 2, 1, 6)
    game = await players[0].call(TicTacToe.look)
    assert (game.over, game.winner) == (True, "Ada")


async def test_a_full_board_is_a_draw(players: tuple[Seat, Seat]) -> None:
    await play(players, 0, 1, 2, 4, 3, 5, 7, 6, 8)
    game = await players[0].call(TicTacToe.look)
    assert (game.over, game.winner) == (True, None)


async def test_who_does_not_move_in_time_has_lost(rivet: RivetTest, players: tuple[Seat, Seat]) -> None:
    await play(players, 4)
    await rivet.clock.advance(TURN)
    game = await players[0].call(TicTacToe.look)
    assert (game.over, game.winner) == (True, "Ada")


async def test_every_move_gives_the_other_a_whole_day(rivet: RivetTest, players: tuple[Seat, Seat]) -> None:
    for turn, cell in enumerate((4, 0, 2, 1)):
        await rivet.clock.advance(hours=23)
        assert not await rivet.is_awake(players[0])
        await players[turn % 2].call(TicTacToe.move, cell)
    await rivet.clock.advance(hours=23)
    assert not (await players[0].call(TicTacToe.look)).over


async def test_the_clock_runs_on_through_a_crash(rivet: RivetTest, players: tuple[Seat, Seat]) -> None:
    await play(players, 4)
    await rivet.crash(players[0])
    await rivet.clock.advance(TURN)
    assert (await players[0].call(TicTacToe.look)).winner == "Ada"


async def test_a_move_that_was_answered_survives_a_crash(
    rivet: RivetTest, players: tuple[Seat, Seat]
) -> None:
    await play(players, 4)
    await rivet.crash(players[0])
    assert (await players[0].call(TicTacToe.look)).cells[4] == "X"


async def test_who_watches_sees_the_end(rivet: RivetTest, players: tuple[Seat, Seat]) -> None:
    async with players[0].connect() as conn, conn.events(TicTacToe.changed) as changed:
        await play(players, 4)
        assert (await anext(changed)).cells[4] == "X"
        await rivet.clock.advance(TURN)
        assert (await anext(changed)).winner == "Ada"


async def test_nobody_can_call_time(players: tuple[Seat, Seat]) -> None:
    await players[0].call(TicTacToe.time_is_up, "O", 0)
    assert not (await players[0].call(TicTacToe.look)).over


@pytest.mark.parametrize(
    ("moves", "code"),
    [((4, 4), "cell_taken"), ((9,), "cell_taken"), ((4, 0, 2, 1, 6, 8), "not_running")],
)
async def test_a_move_against_the_rules_is_refused(
    players: tuple[Seat, Seat], moves: tuple[int, ...], code: str
) -> None:
    with pytest.raises(UserError) as caught:
        await play(players, *moves)
    assert caught.value.code == code


async def test_one_moves_in_turn_and_a_third_stays_out(rivet: RivetTest, players: tuple[Seat, Seat]) -> None:
    with pytest.raises(UserError, match="turn of Ada"):
        await players[1].call(TicTacToe.move, 0)
    with pytest.raises(UserError, match="two are playing"):
        await sit(rivet, "Eve").call(TicTacToe.join)
    assert await players[1].call(TicTacToe.join) == "O"
