"""What an engine of ours is started with: addresses, folders and environment (envoy-protocol 1.2 to 1.4).

    <storage>/var/engine/db/                     the engine's data; one engine at a time
    <storage>/var/engine/runtime.json            who runs on it
    <storage>/var/logs/rivet-engine/             engine-<unix seconds>-{stdout,stderr}.log

Pure but for ``Runtime``, which is a file.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

Lifetime = Literal["child", "detached"]

_PEER_OFFSET = 1
_METRICS_OFFSET = 10
_LOOPBACK = "127.0.0.1"
_TOPOLOGY = "RIVET__TOPOLOGY__"

# What the stock SDK gives an engine it starts for development, so that actors move and come back within
# seconds; and no telemetry, and no waiting for acknowledgements (envoy-protocol 9.3). Above 70 % of the
# processors the engine leaves ever more work lying about, for other engines to take; here there is no other,
# so it is told of more processors than it can use up.
_TUNING = {
    "RIVET__FEATURES__GUARD_GATEWAY_V3__MODE": "on",
    "RIVET__FEATURES__GUARD_GATEWAY_V3__PERCENTAGE": "100",
    "RIVET__PEGBOARD__ENVOY_LOST_THRESHOLD": "7000",
    "RIVET__PEGBOARD__ENVOY_ELIGIBLE_THRESHOLD": "5000",
    "RIVET__PEGBOARD__RUNNER_LOST_THRESHOLD": "7000",
    "RIVET__PEGBOARD__RUNNER_ELIGIBLE_THRESHOLD": "5000",
    "RIVET__PEGBOARD__BASE_RETRY_TIMEOUT": "100",
    "RIVET__PEGBOARD__RESCHEDULE_BACKOFF_MAX_EXPONENT": "1",
    "RIVET__PEGBOARD__RETRY_RESET_DURATION": "100",
    "RIVET__PEGBOARD__MIN_METADATA_POLL_INTERVAL": "1000",
    "RIVET__RUNTIME__WORKER_SHUTDOWN_DURATION": "1",
    "RIVET__RUNTIME__GUARD_SHUTDOWN_DURATION": "1",
    "RIVET__RUNTIME__FORCE_SHUTDOWN_DURATION": "2",
    "RIVET__RUNTIME__WORKER_CPU_MAX": "1000000",
    "RIVET__TELEMETRY__ENABLED": "false",
    "RIVET__GUARD__TCP_NODELAY": "true",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineLaunch:
    """How to start an engine.

    Attributes:
        storage: Folder for data, logs and ``runtime.json``.
        host: Where clients and hosts connect: loopback, or an unspecified address to accept others too.
            The other ports are always on loopback.
        port: The public port.
        peer_port, metrics_port: ``port`` + 1 and + 10 when None.
        lifetime: A ``child`` ends with its owner; a ``detached`` engine stays for the next run.
        version: The only version that will do; None accepts every one, with a warning if it is untested.
        start_timeout: Seconds until a new engine must be healthy.
    """

    storage: Path
    host: str = _LOOPBACK
    port: int = 6420
    peer_port: int | None = None
    metrics_port: int | None = None
    lifetime: Lifetime = "child"
    version: str | None = None
    start_timeout: float = 10.0

    @property
    def endpoint(self) -> str:
        """Where the engine is reached from this machine."""
        return _url(_reachable(self.host), self.port)

    @property
    def private_ports(self) -> tuple[int, int]:
        """What the engine listens on for itself, on loopback."""
        return self._peer_port, self._metrics_port

    @property
    def database(self) -> Path:
        return self.storage / "var" / "engine" / "db"

    @property
    def runtime_file(self) -> Path:
        return self.storage / "var" / "engine" / "runtime.json"

    @property
    def log_folder(self) -> Path:
        return self.storage / "var" / "logs" / "rivet-engine"

    def environment(self, inherited: Mapping[str, str]) -> dict[str, str]:
        """The environment of the process.

        Engine variables (``RIVET__*``) that are already set win over our tuning, not over addresses and
        folders.
        """
        taken = {name.upper() for name in inherited}
        kept = {name: value for name, value in inherited.items() if name.upper() not in self._addresses()}
        kept.pop("RUST_BACKTRACE", None)  # it makes every error several times slower
        tuning = {name: value for name, value in _TUNING.items() if name not in taken}
        topology = {} if any(name.startswith(_TOPOLOGY) for name in taken) else self._topology()
        return {**kept, **tuning, **topology, **self._addresses()}

    def _addresses(self) -> dict[str, str]:
        return {
            "RIVET__GUARD__HOST": _bound(self.host),
            "RIVET__GUARD__PORT": str(self.port),
            "RIVET__API_PEER__HOST": _LOOPBACK,
            "RIVET__API_PEER__PORT": str(self._peer_port),
            "RIVET__METRICS__HOST": _LOOPBACK,
            "RIVET__METRICS__PORT": str(self._metrics_port),
            "RIVET__FILE_SYSTEM__PATH": str(self.database),
        }

    def _topology(self) -> dict[str, str]:
        # A datacenter is read only as a whole; without one, serverless hosts are told port 6420.
        place = f"{_TOPOLOGY}DATACENTERS__DEFAULT__"
        return {
            f"{_TOPOLOGY}DATACENTER_LABEL": "1",
            f"{place}DATACENTER_LABEL": "1",
            f"{place}IS_LEADER": "true",
            f"{place}PUBLIC_URL": self.endpoint,
            f"{place}PEER_URL": _url(_LOOPBACK, self._peer_port),
        }

    @property
    def _peer_port(self) -> int:
        return self.peer_port or self.port + _PEER_OFFSET

    @property
    def _metrics_port(self) -> int:
        return self.metrics_port or self.port + _METRICS_OFFSET


@dataclass(frozen=True, slots=True)
class Runtime:
    """Who runs on a storage folder; ``owner`` is the process that an engine of lifetime child ends with."""

    pid: int
    endpoint: str
    bind_host: str
    public_url: str
    binary: str
    lifetime: str
    owner: int

    @classmethod
    def load(cls, path: Path) -> Runtime | None:
        """What the file says; None for a file that is missing, damaged or another SDK's."""
        try:
            found: object = json.loads(path.read_text())
        except (OSError, ValueError):
            return None
        if not isinstance(found, dict):
            return None
        values = cast("dict[str, object]", found)
        fields = dataclasses.fields(cls)
        if not all(
            isinstance(values.get(field.name), int if field.type == "int" else str) for field in fields
        ):
            return None
        return cls(**{field.name: values[field.name] for field in fields})  # pyright: ignore[reportArgumentType]  # checked above

    def save(self, path: Path) -> None:
        """Replace the file; a reader sees the old one or the new one."""
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(f".{os.getpid()}.tmp")
        unfinished.write_text(json.dumps(dataclasses.asdict(self)))
        os.replace(unfinished, path)


def _reachable(host: str) -> str:
    match _bound(host):
        case "0.0.0.0":  # noqa: S104 - compared, not bound
            return _LOOPBACK
        case "::":
            return "::1"
        case bound:
            return bound


def _bound(host: str) -> str:
    """The address to bind for an endpoint's host name."""
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return _LOOPBACK  # localhost and names below it


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
