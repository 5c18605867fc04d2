"""Fakes that ship with the library and pass the contract suites of the real parts."""

from rivetkit_core.testing.clock import FakeClock as FakeClock
from rivetkit_core.testing.clock import settle as settle
from rivetkit_core.testing.sockets import ScriptedSocket as ScriptedSocket
from rivetkit_core.testing.sockets import SentFrame as SentFrame
from rivetkit_core.testing.store import MemoryStore as MemoryStore

__all__ = ["FakeClock", "MemoryStore", "ScriptedSocket", "SentFrame", "settle"]
