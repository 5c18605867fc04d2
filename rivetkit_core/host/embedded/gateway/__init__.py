"""The network face of the embedded host: an ASGI application that clients cannot tell from the engine."""
