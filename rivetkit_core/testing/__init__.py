"""Shipped fakes: time and storage that a test owns completely."""

from rivetkit_core.testing.clock import FakeClock as FakeClock
from rivetkit_core.testing.clock import settle as settle
from rivetkit_core.testing.store import MemoryStorage as MemoryStorage
from rivetkit_core.testing.store import MemoryStore as MemoryStore

__all__ = ["FakeClock", "MemoryStorage", "MemoryStore", "settle"]
