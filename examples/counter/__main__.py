"""Serve the counter on http://127.0.0.1:6420 until Ctrl-C."""

from examples.counter.app import registry

registry.run()
