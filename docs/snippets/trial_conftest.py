import pytest
from trial import registry

from rivetkit import Registry


@pytest.fixture
def rivet_registry() -> Registry:
    return registry
