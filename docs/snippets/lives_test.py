from trial import Trial

from rivetkit import Registry
from rivetkit.testing import RivetTest


async def test_a_trial_survives_sleep(rivet: RivetTest) -> None:
    trial = rivet.client.get_or_create(Trial, "ada")
    await trial.call(Trial.start, "ada@example.com")
    await rivet.sleep(trial)
    assert not await rivet.is_awake(trial)
    assert await trial.call(Trial.is_active)
    assert await rivet.generation(trial) == 2


async def test_a_trial_ends_even_if_its_process_died(rivet: RivetTest) -> None:
    trial = rivet.client.get_or_create(Trial, "ada")
    await trial.call(Trial.start, "ada@example.com")
    await rivet.clock.advance(1)  # the state is saved within a second
    await rivet.crash(trial)
    await rivet.clock.advance(days=30)
    assert not await trial.call(Trial.is_active)


async def test_the_next_version_reads_the_same_state(rivet: RivetTest) -> None:
    trial = rivet.client.get_or_create(Trial, "ada")
    await trial.call(Trial.start, "ada@example.com")
    await rivet.restart(Registry(Trial))  # yours: the classes of the next version
    assert await trial.call(Trial.is_active)
