"""What a registry says when it is used in a way that cannot work."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from rivetkit import Actor, InvalidActor, Registry, RivetError
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


async def test_a_path_that_is_not_served_is_named() -> None:
    registry = Registry(Lamp, data_dir=":memory:")
    transport = httpx.ASGITransport(registry.asgi())
    async with registry.lifespan(), httpx.AsyncClient(transport=transport, base_url="http://app") as client:
        answer = await client.get("/rivet/metadata")
    assert "There is no route GET /rivet/metadata on this server" in answer.text


async def test_an_application_without_the_lifespan_says_so() -> None:
    transport = httpx.ASGITransport(Registry(Lamp, data_dir=":memory:").asgi())
    async with httpx.AsyncClient(transport=transport, base_url="http://app") as client:
        with pytest.raises(RivetError, match=r"FastAPI\(lifespan=registry.lifespan\)"):
            await client.get("/metadata")
