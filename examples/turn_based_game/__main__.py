"""Serve the games until Ctrl-C: ``python -m examples.turn_based_game [--port 6420]``."""

import argparse

from examples.turn_based_game.app import registry

parser = argparse.ArgumentParser(prog="turn_based_game", description="Tic-tac-toe with a clock.")
parser.add_argument("--port", type=int, default=6420, help="port to listen on (default: %(default)s)")
registry.run(port=parser.parse_args().port)
