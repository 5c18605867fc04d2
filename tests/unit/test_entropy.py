"""Ids and jitter."""

from __future__ import annotations

import re
import uuid

import pytest

from rivetkit_core.entropy import SeededEntropy, SystemEntropy, jitter, new_actor_id, new_uuid


class Constant:
    """Every bit is the same."""

    def __init__(self, bit: int) -> None:
        self.bit = bit

    def bits(self, count: int) -> int:
        return (1 << count) - 1 if self.bit else 0


def test_the_same_seed_gives_the_same_ids() -> None:
    assert new_uuid(SeededEntropy(1)) == new_uuid(SeededEntropy(1))
    assert new_actor_id(SeededEntropy(1)) == new_actor_id(SeededEntropy(1))
    assert new_uuid(SeededEntropy(1)) != new_uuid(SeededEntropy(2))


def test_one_source_does_not_repeat_itself() -> None:
    entropy = SeededEntropy(1)
    assert len({new_actor_id(entropy) for _ in range(1000)}) == 1000


@pytest.mark.parametrize("bit", [0, 1])
def test_a_uuid_is_of_version_four(bit: int) -> None:
    made = uuid.UUID(new_uuid(Constant(bit)))
    assert (made.version, made.variant) == (4, uuid.RFC_4122)


@pytest.mark.parametrize("bit", [0, 1])
def test_an_actor_id_has_thirty_lower_case_letters_and_digits(bit: int) -> None:
    assert re.fullmatch(r"[a-z0-9]{30}", new_actor_id(Constant(bit)))


def test_the_system_source_gives_what_was_asked_for() -> None:
    assert all(0 <= SystemEntropy().bits(3) < 8 for _ in range(100))


def test_jitter_stays_between_its_bounds() -> None:
    assert jitter(Constant(0), 1.0, 2.0) == 1.0
    assert 1.9 < jitter(Constant(1), 1.0, 2.0) <= 2.0
