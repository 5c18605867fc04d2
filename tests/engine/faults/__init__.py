"""A real engine and real processes: killed, paused, cut off, and what must be left of their promises."""
