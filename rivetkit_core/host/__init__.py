"""Places an actor can run in: ``embedded`` is an engine in this process. ``port`` is what the core asks of one."""
