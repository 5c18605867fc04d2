"""Play a game against yourself: ``python -m examples.turn_based_game.client [URL]``."""

import asyncio
import sys
from uuid import uuid4

from examples.turn_based_game.app import Player, TicTacToe
from rivetkit import Client


async def main(endpoint: str) -> None:
    async with Client(endpoint) as client:
        key = str(uuid4())
        ada, bob = (client.get_or_create(TicTacToe, key, params=Player(name=name)) for name in ("Ada", "Bob"))
        async with ada.connect() as watching, watching.events(TicTacToe.changed) as changed:
            await ada.call(TicTacToe.join)
            await bob.call(TicTacToe.join)
            for player, cell in ((ada, 4), (bob, 0), (ada, 2), (bob, 1), (ada, 6)):
                await player.call(TicTacToe.move, cell)
            async for game in changed:
                print("".join(mark or "." for mark in game.cells))
                if game.over:
                    print(f"{game.winner} wins")
                    break


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:6420"))
