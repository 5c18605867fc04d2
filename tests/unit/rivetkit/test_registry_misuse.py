"""What a registry says when it is used in a way that cannot work."""

from __future__ import annotations

from typing import Any

import pytest

from rivetkit import Actor, InvalidActor, Registry
from rivetkit_core.config import ConfigError


class Lamp(Actor): ...


def test_a_class_is_given_once() -> None:
    with pytest.raises(InvalidActor, match="Lamp is given twice"):
        Registry(Lamp, Lamp)


def test_an_unknown_level_of_durability_is_refused() -> None:
    level: Any = "yes"
    with pytest.raises(ConfigError, match="synchronous is 'yes'; it is 'normal' or 'full'"):
        Registry(Lamp, synchronous=level)


async def test_running_inside_an_event_loop_names_the_alternative() -> None:
    with pytest.raises(RuntimeError, match=r"await registry.serve\(\)"):
        Registry(Lamp, data_dir=":memory:").run()
