"""Failures of SQL as failures of storage: who saves a state need not know that it is kept in tables."""

from __future__ import annotations

import contextlib
from collections.abc import Generator

from rivetkit_core.errors import RivetError, StorageError, error
from rivetkit_core.host.engine.storage_requests import RequestScope


@contextlib.contextmanager
def in_storage(scope: RequestScope) -> Generator[None]:
    """Raise what a database refuses in this block as ``StorageError``."""
    try:
        yield
    except StorageError:
        raise
    except RivetError as failure:
        if failure.code == "remote_fence_mismatch":
            lost = error("storage.lost", actor_id=scope.actor_id, generation=scope.generation)
            raise lost from failure
        raise error("storage.unavailable", f"The actor's tables: {failure.message}") from failure
