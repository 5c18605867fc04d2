"""``GET /metrics`` of a process: the numbers of all its actors, for who has the token."""

from __future__ import annotations

from rivetkit_core.edge.metrics import MetricsDoor, answer
from rivetkit_core.host.web.asgi import Head, Send, respond
from rivetkit_core.metrics.process import CONTENT_TYPE, ProcessMetrics


class MetricsApp:
    """Serves one path."""

    def __init__(self, metrics: ProcessMetrics, door: MetricsDoor) -> None:
        self._metrics = metrics
        self._door = door

    def takes(self, head: Head, *, alone: bool) -> bool:
        """Whether a request is for here. An application beside us keeps a ``/metrics`` of its own.

        Args:
            alone: There is no such application.
        """
        return head.path == "/metrics" and head.method in ("GET", "HEAD") and (alone or self._door.enabled)

    async def serve(self, head: Head, send: Send) -> None:
        """Answer one request."""
        refusal = answer(self._door, head.headers.get("authorization"))
        if refusal is not None:
            status, text = refusal
            await respond(send, status, [("content-type", "text/plain; charset=utf-8")], text)
            return
        await respond(send, 200, [("content-type", CONTENT_TYPE)], self._metrics.text())
