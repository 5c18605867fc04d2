"""A real engine and real processes: killed, paused, cut off, and what must be left of their promises.

Most of the time goes into waiting until the engine gives a process up. ``RIVETKIT_FAULT_ROUNDS`` says how
often faults at random moments are made: once, unless somebody wants to know better.
"""

import os

ROUNDS = int(os.environ.get("RIVETKIT_FAULT_ROUNDS", "1"))
