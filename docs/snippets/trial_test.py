from trial import Trial

from rivetkit.testing import RivetTest


async def test_a_trial_ends_after_a_month(rivet: RivetTest) -> None:
    trial = rivet.client.get_or_create(Trial, "ada")
    await trial.call(Trial.start, "ada@example.com")

    await rivet.clock.advance(days=27)
    assert await trial.call(Trial.unsent) == ["ada@example.com: three days are left"]
    assert await trial.call(Trial.is_active)

    await rivet.clock.advance(days=3)
    assert not await trial.call(Trial.is_active)
