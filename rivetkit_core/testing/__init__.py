"""Fakes that ship with the library, so that you test the way it does. They pass the suites of the real parts."""

from rivetkit_core.testing.clock import FakeClock as FakeClock
from rivetkit_core.testing.clock import settle as settle
from rivetkit_core.testing.store import MemoryStore as MemoryStore

__all__ = ["FakeClock", "MemoryStore", "settle"]
