"""Serve the shop until Ctrl-C: ``python -m examples.fastapi_app [--port 8000]``."""

import argparse

import uvicorn

from examples.fastapi_app.app import app

parser = argparse.ArgumentParser(prog="fastapi_app", description="Carts behind the routes of a shop.")
parser.add_argument("--port", type=int, default=8000, help="port to listen on (default: %(default)s)")
uvicorn.run(app, port=parser.parse_args().port)
