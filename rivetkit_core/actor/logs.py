"""Log records that say which actor they are about.

Fields travel as ``extra``, so any formatter can show them: ``actor_id``, ``actor_name``, ``actor_key`` and
``generation`` on every record, and what a single one adds. Never a payload, never a secret.
"""

from __future__ import annotations

import logging
from collections.abc import MutableMapping
from typing import Any

NAME = "rivetkit.actor"


class ActorLog(logging.LoggerAdapter[logging.Logger]):
    """Adds the actor's fields to those a call gives; the standard adapter would drop the latter."""

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        given = kwargs.get("extra")
        kwargs["extra"] = {**self.fields, **given} if given else self.fields
        return msg, kwargs

    @property
    def fields(self) -> dict[str, object]:
        """What every record carries."""
        return dict(self.extra or {})

    @property
    def verbose(self) -> bool:
        """Whether records of the level DEBUG go anywhere: cheaper than making one."""
        return self.logger.isEnabledFor(logging.DEBUG)


NO_ACTOR = ActorLog(logging.getLogger(NAME), {})
"""For parts that belong to no actor, as in tests of one part."""
