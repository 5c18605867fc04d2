"""Options of one actor, and the limits on what a peer may send.

``ActorConfig`` holds durations in seconds. ``ActorConfig.from_input`` is the only conversion from sparse
options, as the reference spells them in milliseconds (actor-runtime 1.1), and the only validation.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

Durability = Literal["throttled", "strict"]
RunErrorPolicy = Literal["sleep", "crash"]

_U32_MAX = 2**32 - 1

_DEFAULT_GRACE = 15.0
_LEGACY_ON_SLEEP = 5.0
_LEGACY_WAIT_UNTIL = 15.0


class ConfigError(ValueError):
    """An option is unknown or out of range; the message names it, the value and what is allowed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ActorConfig:
    """Options of one actor class. Durations are seconds, sizes are bytes.

    ``strict`` durability holds every reply, event and outgoing call until the state it reflects is
    stored; ``throttled`` stores it at most ``state_save_interval`` later.

    An actor that has had nothing to do for ``sleep_timeout`` goes to sleep, unless ``no_sleep``. However it
    ends, it has the grace period for its hooks and its work. ``run_error_policy`` says what a failing ``run``
    means: the actor goes on without it and may sleep, or it ends at once and comes back when needed.

    ``on_request_timeout`` is how long an answer to a raw request may take to begin, ``action_timeout`` if
    None.

    ``can_hibernate_websocket`` says whether raw websockets stay open while the actor sleeps: all of them, or
    those of whose request it is true. With ``hibernatable_conns_block_sleep``, an actor is not idle while one
    of them, or a live connection, is open; asking for sleep puts it to sleep all the same.

    Options that only older SDKs know: ``shutdown_grace_period`` is another name of ``sleep_grace_period``;
    ``on_sleep_timeout`` and ``wait_until_timeout`` make up the grace period where none is given;
    ``run_stop_timeout`` has no effect, and the liveness of connections is the gateway's matter.
    """

    icon: str | None = None
    display_name: str | None = None
    durability: Durability = "throttled"
    state_save_interval: float = 1.0
    create_state_timeout: float = 5.0
    create_vars_timeout: float = 5.0
    create_conn_state_timeout: float = 5.0
    on_create_timeout: float = 5.0
    on_migrate_timeout: float = 30.0
    on_wake_timeout: float = 30.0
    on_before_connect_timeout: float = 5.0
    on_connect_timeout: float = 5.0
    on_destroy_timeout: float | None = None
    action_timeout: float = 60.0
    on_request_timeout: float | None = None
    sleep_timeout: float = 30.0
    no_sleep: bool = False
    can_hibernate_websocket: bool | Callable[..., bool] = False
    hibernatable_conns_block_sleep: bool = False
    sleep_grace_period: float | None = None
    shutdown_grace_period: float | None = None
    on_sleep_timeout: float | None = None
    wait_until_timeout: float | None = None
    run_stop_timeout: float | None = None
    connection_liveness_timeout: float = 2.5
    connection_liveness_interval: float = 5.0
    run_error_policy: RunErrorPolicy = "sleep"
    max_queue_size: int = 1000
    max_queue_message_size: int = 65_536
    max_incoming_message_size: int = 65_536
    max_outgoing_message_size: int = 1_048_576
    dispatch_inbox_capacity: int = 1024
    connection_backlog: int = 1024
    max_schedules: int = 1000

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            name, default = field.name, field.default
            value: object = getattr(self, name)
            if name in _CHOICES:
                _require_choice(name, value)
            elif isinstance(default, bool):
                _require_flag(name, value)
            elif isinstance(default, int | float):
                _require_positive(name, value, whole=isinstance(default, int))
            elif name not in _TEXTS and value is not None:
                _require_positive(name, value, whole=False)
        if None not in (self.sleep_grace_period, self.shutdown_grace_period):
            raise ConfigError("sleep_grace_period and shutdown_grace_period are the same option: give one")

    @property
    def sleep_grace_period_overridden(self) -> bool:
        """Whether the author chose the grace period. The default, given explicitly, is a choice."""
        return self.sleep_grace_period is not None or self.shutdown_grace_period is not None

    def effective_sleep_grace_period(self, *, at_most: float = math.inf) -> float:
        """Seconds that an ending actor has for its hooks and its work (1.3), and no more than ``at_most``."""
        given = self.sleep_grace_period if self.sleep_grace_period is not None else self.shutdown_grace_period
        if given is not None:
            return min(given, at_most)
        legacy = self.on_sleep_timeout
        if legacy is not None and legacy != _LEGACY_ON_SLEEP:
            return min(legacy + (self.wait_until_timeout or _LEGACY_WAIT_UNTIL), at_most)
        return min(_DEFAULT_GRACE, at_most)

    @classmethod
    def from_input(cls, options: Mapping[str, object]) -> ActorConfig:
        """Build a config from sparse options; absent keys keep their defaults.

        Raises:
            ConfigError: An unknown key, or a value that is out of range.
        """
        known = {field.name for field in dataclasses.fields(cls)}
        for name in options:
            if name not in known:
                raise ConfigError(f"unknown option {name!r}; known options: {', '.join(sorted(known))}")
        return cls(**options)  # pyright: ignore[reportArgumentType]  # __post_init__ checks every value


_PREDICATES = frozenset({"can_hibernate_websocket"})
_TEXTS = frozenset({"icon", "display_name"})
_CHOICES: Mapping[str, tuple[object, ...]] = {
    "durability": get_args(Durability),
    "run_error_policy": get_args(RunErrorPolicy),
}


def _require_choice(name: str, value: object) -> None:
    if value not in _CHOICES[name]:
        allowed = ", ".join(map(str, _CHOICES[name]))
        raise ConfigError(f"{name} is {value!r}; it must be one of {allowed}")


def _require_flag(name: str, value: object) -> None:
    if not isinstance(value, bool) and not (name in _PREDICATES and callable(value)):
        raise ConfigError(f"{name} is {value!r}; it must be True or False")


def _require_positive(name: str, value: object, *, whole: bool) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ConfigError(f"{name} is {value!r}; it must be a number")
    if whole and not isinstance(value, int):
        raise ConfigError(f"{name} is {value!r}; it must be a whole number")
    if not math.isfinite(value) or value <= 0 or value > _U32_MAX:
        raise ConfigError(f"{name} is {value!r}; it must be positive and at most {_U32_MAX}")
