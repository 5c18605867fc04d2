"""Where a client connects and as whom: by its arguments, the environment, the endpoint's user and password.

Settings   what the program said
Gateway    what the server's metadata made of it: it may send clients elsewhere
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, get_args

from rivetkit_core.errors import error
from rivetkit_core.wire.gateway_url import DEFAULT_ENDPOINT, Endpoint, parse_endpoint
from rivetkit_core.wire.messages import Encoding

EncodingName = Literal["bare", "cbor", "json"]


@dataclass(frozen=True, slots=True)
class Gateway:
    """A server and who we are to it. ``base`` is safe to show."""

    base: str
    namespace: str
    token: str | None = field(repr=False)

    def redirected(self, metadata: Mapping[str, object]) -> Gateway:
        """Follow ``clientEndpoint`` and what comes with it (client-protocol 1.8).

        Raises:
            RivetError: ``validation.invalid_input``: the endpoint it names is not valid.
        """
        target = metadata.get("clientEndpoint")
        if not isinstance(target, str) or not target:
            return self
        endpoint = parse_endpoint(target)
        namespace, token = metadata.get("clientNamespace"), metadata.get("clientToken")
        return replace(
            self,
            base=endpoint.base,
            namespace=(namespace if isinstance(namespace, str) else endpoint.namespace) or self.namespace,
            token=(token if isinstance(token, str) else endpoint.token) or self.token,
        )


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything an HTTP transport needs to know."""

    gateway: Gateway
    pool: str = "default"
    encoding: Encoding = Encoding.BARE
    headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)

    @classmethod
    def read(
        cls,
        endpoint: str | None = None,
        namespace: str | None = None,
        token: str | None = None,
        pool: str | None = None,
        encoding: EncodingName = "bare",
        headers: Mapping[str, str] | None = None,
    ) -> Settings:
        """Complete the arguments of ``Client`` from the environment.

        Raises:
            RivetError: ``validation.invalid_input``.
        """
        url = endpoint or _variable("RIVET_ENGINE") or _variable("RIVET_ENDPOINT") or DEFAULT_ENDPOINT
        parsed = parse_endpoint(url)
        _refuse_two_answers(parsed, namespace, token)
        gateway = Gateway(
            base=parsed.base,
            namespace=namespace or _variable("RIVET_NAMESPACE") or parsed.namespace or "default",
            token=token or _variable("RIVET_TOKEN") or parsed.token,
        )
        if encoding not in get_args(EncodingName):
            reason = f"encoding is {encoding!r}; it is 'bare', 'cbor' or 'json'"
            raise error("validation.invalid_input", reason=reason)
        chosen_pool = pool or _variable("RIVET_POOL") or "default"
        return cls(gateway, chosen_pool, Encoding(encoding), dict(headers or {}))


def _variable(name: str) -> str | None:
    return os.environ.get(name) or None


def _refuse_two_answers(endpoint: Endpoint, namespace: str | None, token: str | None) -> None:
    for what, given, in_url in (
        ("namespace", namespace, endpoint.namespace),
        ("token", token, endpoint.token),
    ):
        if given is not None and in_url is not None:
            reason = f"{what} is given twice: in the endpoint and as an argument"
            raise error("validation.invalid_input", reason=reason)
