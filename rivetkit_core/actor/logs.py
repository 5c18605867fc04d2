"""The logger of one actor, whose records say which actor it is beside what the caller adds."""

from __future__ import annotations

import logging
from collections.abc import MutableMapping
from typing import Any


class ActorLog(logging.LoggerAdapter[logging.Logger]):
    """Adds fields to every record and keeps those of ``extra=``, which a plain adapter would drop."""

    def process(
        self, msg: object, kwargs: MutableMapping[str, Any]
    ) -> tuple[object, MutableMapping[str, Any]]:
        kwargs["extra"] = {**(kwargs.get("extra") or {}), **(self.extra or {})}
        return msg, kwargs
