"""The way to actors elsewhere, for code that has no ``Client``: hosts give it to the actors they run."""

from __future__ import annotations

from collections.abc import Mapping

from rivetkit.client._endpoint import EncodingName, Settings
from rivetkit.client._transport_http import HttpAccess
from rivetkit_core.clock import Clock
from rivetkit_core.entropy import Entropy
from rivetkit_core.host.port import ActorAccess


def network_access(
    endpoint: str | None = None,
    *,
    namespace: str | None = None,
    token: str | None = None,
    pool: str | None = None,
    encoding: EncodingName = "bare",
    headers: Mapping[str, str] | None = None,
    clock: Clock,
    entropy: Entropy,
) -> ActorAccess:
    """Actors behind a server, over HTTP and websockets. The arguments are those of ``Client``.

    Raises:
        RivetError: ``validation.invalid_input`` for an endpoint that is not valid.
    """
    settings = Settings.read(endpoint, namespace, token, pool, encoding, headers)
    return HttpAccess(settings, clock=clock, entropy=entropy)
