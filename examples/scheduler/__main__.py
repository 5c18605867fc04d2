"""Serve the reminders until Ctrl-C: ``python -m examples.scheduler [--port 6420]``."""

import argparse

from examples.scheduler.app import registry

parser = argparse.ArgumentParser(prog="scheduler", description="Reminders that outlive the process.")
parser.add_argument("--port", type=int, default=6420, help="port to listen on (default: %(default)s)")
registry.run(port=parser.parse_args().port)
