"""Serve the shop until Ctrl-C: ``python -m examples.order_queue [--port 6420]``."""

import argparse

from examples.order_queue.app import registry

parser = argparse.ArgumentParser(prog="order_queue", description="A shop with a durable queue.")
parser.add_argument("--port", type=int, default=6420, help="port to listen on (default: %(default)s)")
registry.run(port=parser.parse_args().port)
