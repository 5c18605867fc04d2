"""Tests of your actors on virtual time: ``RivetTest``, and the fixture ``rivet`` for pytest.

The fixture, its options and its marker are in ``rivetkit_pytest``, which pytest finds by itself.
"""

from __future__ import annotations

from rivetkit.testing._clock import RivetClock
from rivetkit.testing._engine import running_engine
from rivetkit.testing._rivet import RivetTest
from rivetkit.testing._world import NotOnThisHost
from rivetkit_core.testing.loop import Stuck

__all__ = ["NotOnThisHost", "RivetClock", "RivetTest", "Stuck", "running_engine"]
