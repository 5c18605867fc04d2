"""Serve the tenants until Ctrl-C: ``python -m examples.per_tenant_database [--port 6420]``."""

import argparse

from examples.per_tenant_database.app import registry

parser = argparse.ArgumentParser(prog="per_tenant_database", description="A database for every tenant.")
parser.add_argument("--port", type=int, default=6420, help="port to listen on (default: %(default)s)")
registry.run(port=parser.parse_args().port)
