"""From settings to the engine process they ask for."""

from __future__ import annotations

import logging
from pathlib import Path

from rivetkit_core.clock import Clock
from rivetkit_core.entropy import Entropy
from rivetkit_core.errors import RivetError
from rivetkit_core.host.engine.binary import ENGINE_VERSION, find_binary, install
from rivetkit_core.host.engine.launch import EngineLaunch
from rivetkit_core.host.engine.process import EngineProcess
from rivetkit_core.host.engine.settings import EngineSettings

log = logging.getLogger("rivetkit.engine")


def launch_of(settings: EngineSettings) -> EngineLaunch:
    """How to start the engine of ``settings``, for which ``settings.spawns`` holds."""
    host, port = settings.engine_address
    return EngineLaunch(storage=settings.storage, host=host, port=port, version=settings.engine_version)


def managed_engine(
    settings: EngineSettings, *, clock: Clock, entropy: Entropy, launch: EngineLaunch | None = None
) -> EngineProcess:
    """The engine process of ``settings``, not started; ``launch`` replaces what they say about it.

    A program that is missing is installed if the settings allow it.
    """

    async def locate() -> Path:
        try:
            return find_binary(
                storage=settings.storage, version=settings.engine_version, explicit=settings.engine_binary
            )
        except RivetError as failure:
            if failure.code != "binary_not_found" or settings.engine_binary or not settings.auto_install:
                raise
        version = settings.engine_version or ENGINE_VERSION
        log.warning("installing the engine %s with npm, once", version)
        return await install(version, storage=settings.storage, clock=clock, entropy=entropy)

    return EngineProcess(launch or launch_of(settings), locate=locate, clock=clock)
