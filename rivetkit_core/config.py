"""Options of one actor, and the limits on what a peer may send.

``ActorConfig`` holds durations in seconds. ``ActorConfig.from_input`` is the only conversion from sparse
options, as the reference spells them in milliseconds (actor-runtime 1.1), and the only validation.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

Durability = Literal["throttled", "strict"]

_U32_MAX = 2**32 - 1


class ConfigError(ValueError):
    """An option is unknown or out of range; the message names it, the value and what is allowed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ActorConfig:
    """Options of one actor class. Durations are seconds, sizes are bytes.

    ``strict`` durability holds every reply, event and outgoing call until the state it reflects is
    stored; ``throttled`` stores it at most ``state_save_interval`` later.
    """

    icon: str | None = None
    display_name: str | None = None
    durability: Durability = "throttled"
    state_save_interval: float = 1.0
    create_state_timeout: float = 5.0
    create_vars_timeout: float = 5.0
    create_conn_state_timeout: float = 5.0
    on_create_timeout: float = 5.0
    on_wake_timeout: float = 30.0
    on_before_connect_timeout: float = 5.0
    on_connect_timeout: float = 5.0
    on_destroy_timeout: float | None = None
    action_timeout: float = 60.0
    shutdown_grace_period: float = 15.0
    max_incoming_message_size: int = 65_536
    max_outgoing_message_size: int = 1_048_576
    dispatch_inbox_capacity: int = 1024
    connection_backlog: int = 1024
    max_schedules: int = 1000

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value: object = getattr(self, field.name)
            if field.name == "durability":
                _require_choice(field.name, value)
            elif isinstance(field.default, (float, int)) or field.name == "on_destroy_timeout":
                _require_positive(field.name, value, whole=isinstance(field.default, int))

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


def _require_choice(name: str, value: object) -> None:
    if value not in get_args(Durability):
        raise ConfigError(f"{name} is {value!r}; it must be one of {', '.join(get_args(Durability))}")


def _require_positive(name: str, value: object, *, whole: bool) -> None:
    if value is None and name == "on_destroy_timeout":
        return
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ConfigError(f"{name} is {value!r}; it must be a number")
    if whole and not isinstance(value, int):
        raise ConfigError(f"{name} is {value!r}; it must be a whole number")
    if not math.isfinite(value) or value <= 0 or value > _U32_MAX:
        raise ConfigError(f"{name} is {value!r}; it must be positive and at most {_U32_MAX}")
