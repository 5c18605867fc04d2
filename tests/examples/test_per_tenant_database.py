from __future__ import annotations

from datetime import date

import pytest

from examples.per_tenant_database.app import Entry, ReportLine, Tenant, registry
from examples.per_tenant_database.schema import MIGRATIONS
from rivetkit import Actor, ActorHandle, Registry, UserError, ValidationError, action, actor
from rivetkit.testing import RivetTest

MAY = date(2026, 5, 1), date(2026, 5, 31)


@actor(name="tenant")
class FirstRelease(Actor):
    """The tenant as it was when there was one step only, and hours instead of minutes."""

    async def on_migrate(self, is_new: bool) -> None:
        await self.ctx.db.migrate(MIGRATIONS[:1])

    @action
    async def book_hours(self, project: str, hours: float) -> None:
        await self.ctx.db.execute("INSERT INTO projects (name) VALUES (?)", [project])
        await self.ctx.db.execute(
            "INSERT INTO entries (project, person, day, hours) VALUES (1, 'ada', '2026-05-04', ?)", [hours]
        )


@pytest.fixture
def rivet_registry() -> Registry:
    return registry


@pytest.fixture
async def acme(rivet: RivetTest) -> ActorHandle[Tenant]:
    tenant = rivet.client.get_or_create(Tenant, "acme")
    await tenant.call(Tenant.add_project, "website", 90.0)
    return tenant


def entry(minutes: int = 60, day: int = 4, project: str = "website") -> Entry:
    return Entry(project=project, person="ada", day=date(2026, 5, day), minutes=minutes)


async def test_a_report_adds_up_what_was_booked(acme: ActorHandle[Tenant]) -> None:
    await acme.call(Tenant.book, [entry(90), entry(30, day=5)])
    await acme.call(Tenant.book, [Entry(project="website", person="bob", day=date(2026, 6, 1), minutes=60)])
    assert await acme.call(Tenant.report, *MAY) == [ReportLine(project="website", minutes=120, price=180.0)]


async def test_all_entries_are_booked_or_none(acme: ActorHandle[Tenant]) -> None:
    with pytest.raises(UserError, match="no project 'moon'"):
        await acme.call(Tenant.book, [entry(), entry(project="moon")])
    assert await acme.call(Tenant.report, *MAY) == []


async def test_tenants_do_not_see_each_other(rivet: RivetTest, acme: ActorHandle[Tenant]) -> None:
    await acme.call(Tenant.book, [entry()])
    assert await rivet.client.get_or_create(Tenant, "globex").call(Tenant.report, *MAY) == []


async def test_what_was_booked_survives_a_crash_and_a_year(
    rivet: RivetTest, acme: ActorHandle[Tenant]
) -> None:
    await acme.call(Tenant.book, [entry()])
    await rivet.crash(acme)
    await rivet.clock.advance(days=365)
    assert [line.minutes for line in await acme.call(Tenant.report, *MAY)] == [60]


async def test_a_project_exists_once(acme: ActorHandle[Tenant]) -> None:
    with pytest.raises(UserError, match="already"):
        await acme.call(Tenant.add_project, "website", 1.0)


async def test_a_day_has_so_many_minutes(acme: ActorHandle[Tenant]) -> None:
    with pytest.raises(ValidationError, match="minutes"):
        await acme.call_by_name("book", [{**entry().model_dump(mode="json"), "minutes": 1441}])


async def test_a_closed_account_leaves_nothing(rivet: RivetTest, acme: ActorHandle[Tenant]) -> None:
    await acme.call(Tenant.book, [entry()])
    await acme.call(Tenant.close_account)
    await rivet.clock.advance()
    assert await acme.call(Tenant.report, *MAY) == []


async def test_a_release_takes_over_the_database_of_the_first(rivet: RivetTest) -> None:
    await rivet.restart(FirstRelease)
    old = rivet.client.get_or_create(FirstRelease, "acme")
    await old.call(FirstRelease.book_hours, "website", 1.5)
    await rivet.restart(registry)
    acme = rivet.client.get(Tenant, "acme")
    assert await acme.call(Tenant.report, *MAY) == [ReportLine(project="website", minutes=90, price=0.0)]
