"""The times and sizes of a scripted engine, with the real engine's values."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """Milliseconds and bytes.

    Attributes:
        streaming: Whether HTTP requests come through the streaming gateway unless the test says otherwise.
        recording: Whether the engine keeps every message and event; long measurements turn it off.
    """

    lost_threshold_ms: int = 15_000
    start_threshold_ms: int = 30_000
    stop_threshold_ms: int = 1_800_000
    ping_interval_ms: int = 3_000
    ping_timeout_ms: int = 15_000
    response_start_timeout_ms: int = 300_000
    max_response_payload_size: int = 20_971_520
    max_request_body: int = 20_971_520
    events_per_ack: int = 250
    streaming: bool = False
    recording: bool = True
