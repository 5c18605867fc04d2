"""Book some hours for two tenants: ``python -m examples.per_tenant_database.client [URL]``."""

import asyncio
import sys
from datetime import date

from examples.per_tenant_database.app import Entry, Tenant
from rivetkit import Client, UserError

DAY = date(2026, 5, 4)


async def main(endpoint: str) -> None:
    async with Client(endpoint) as client:
        for name, rate in (("acme", 90.0), ("globex", 120.0)):
            tenant = client.get_or_create(Tenant, name)
            try:
                await tenant.call(Tenant.add_project, "website", rate)
            except UserError as failure:
                print(f"{name}: {failure.message}")
            await tenant.call(Tenant.book, [Entry(project="website", person="ada", day=DAY, minutes=90)])
            for line in await tenant.call(Tenant.report, DAY, DAY):
                print(f"{name}: {line.project}, {line.minutes} minutes, {line.price:.2f}")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:6420"))
