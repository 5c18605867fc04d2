"""Places an actor can run in. ``port`` is what the core asks of one."""
