"""Serve the counter until Ctrl-C: ``python -m examples.counter [--port 6420]``."""

import argparse

from examples.counter.app import registry

parser = argparse.ArgumentParser(prog="counter", description="A durable counter.")
parser.add_argument("--port", type=int, default=6420, help="port to listen on (default: %(default)s)")
registry.run(port=parser.parse_args().port)
