"""Serve the documents until Ctrl-C: ``python -m examples.collaborative_document [--port 6420]``."""

import argparse

from examples.collaborative_document.app import registry

parser = argparse.ArgumentParser(
    prog="collaborative_document", description="Documents that several people edit."
)
parser.add_argument("--port", type=int, default=6420, help="port to listen on (default: %(default)s)")
registry.run(port=parser.parse_args().port)
