"""The pytest plugin of RivetKit: the fixture ``rivet``, found by pytest once rivetkit is installed.

A package of its own, which imports nothing of RivetKit before a test uses it: pytest loads it in every run
of everybody who has RivetKit installed.
"""

from __future__ import annotations

import inspect
import random
from collections.abc import AsyncGenerator, Callable, Generator, Iterator
from typing import TYPE_CHECKING, Any, TypeVar, cast

import pytest

if TYPE_CHECKING:
    from rivetkit import Registry
    from rivetkit.testing import RivetTest

T = TypeVar("T")

_SEED = pytest.StashKey["int | None"]()
_HIDDEN: Any = getattr(pytest, "HIDDEN_PARAM", "asyncio")


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("rivet", "RivetKit actors")
    group.addoption(
        "--rivet-seed",
        metavar="N",
        help='shuffle what actors do at the same time, reproducibly; "random" picks a seed',
    )
    group.addoption(
        "--rivet-host",
        metavar="memory|engine|URL",
        default="memory",
        help="where actors run: in memory on virtual time, or on a Rivet Engine: a new one, or that of a URL",
    )
    group.addoption(
        "--rivet-max-wait",
        metavar="SECONDS",
        type=float,
        default=10.0,
        help="the longest clock.advance() on an engine, where time is real; longer ones skip their test",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        "rivet(actors=[...], start=datetime(...)): which actor classes the fixture rivet runs in a test, and "
        "what time it is in the beginning",
    )
    config.stash[_SEED] = _seed(config.getoption("--rivet-seed"))
    if config.pluginmanager.has_plugin("asyncio"):
        from rivetkit_pytest import pytest_asyncio_fixtures

        config.pluginmanager.register(pytest_asyncio_fixtures)


def pytest_report_header(config: pytest.Config) -> str | None:
    seed, host = config.stash[_SEED], config.getoption("--rivet-host")
    if seed is None and host == "memory":
        return None
    return f"rivet: host {host}" + ("" if seed is None else f", seed {seed}")


@pytest.hookimpl(tryfirst=True)
def pytest_pycollect_makeitem(collector: pytest.Module | pytest.Class, name: str, obj: object) -> None:
    """Have anyio's plugin, which comes with RivetKit, run the tests that nobody else runs."""
    if not collector.istestfunction(obj, name) or not inspect.iscoroutinefunction(obj):
        return
    if _uses_rivet(collector, obj) and not _is_run_by_pytest_asyncio(collector, obj):
        pytest.mark.usefixtures("anyio_backend")(obj)


@pytest.hookimpl(tryfirst=True)
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run them on asyncio only, whatever backends anyio knows."""
    if {"rivet", "anyio_backend"} <= set(metafunc.fixturenames) and not _chooses_backend(metafunc):
        only = pytest.mark.parametrize("anyio_backend", ["asyncio"], ids=[_HIDDEN])
        metafunc.definition.add_marker(only)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None]:
    try:
        yield
    except Exception as failure:
        if (reason := _not_on_this_host(failure)) is not None:
            pytest.skip(reason)
        raise


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    seed = item.config.stash[_SEED]
    if report.failed and seed is not None and "rivet" in getattr(item, "fixturenames", ()):
        report.sections.append(("rivet", f"run it again in this order: --rivet-seed={seed}"))
    return report


@pytest.fixture
def rivet_registry(request: pytest.FixtureRequest) -> Registry:
    """The actors of the test: override it, or mark tests with ``@pytest.mark.rivet(actors=[MyActor])``."""
    registry = _marked_registry(request)
    if registry is None:
        pytest.fail(
            "which actors? Return your registry from a fixture named rivet_registry, or name the classes: "
            "@pytest.mark.rivet(actors=[MyActor])",
            pytrace=False,
        )
    return registry


@pytest.fixture(scope="session")
def rivet_host(pytestconfig: pytest.Config) -> Iterator[str]:
    """Where actors run, as ``RivetTest`` takes it; the engine of a session is started by its first test."""
    host = _option(pytestconfig, "--rivet-host", str)
    if host != "engine":
        yield host
        return
    from anyio.from_thread import start_blocking_portal

    from rivetkit.testing import running_engine

    with start_blocking_portal() as portal, portal.wrap_async_context_manager(running_engine()) as endpoint:
        yield endpoint


@pytest.fixture
def rivet(request: pytest.FixtureRequest) -> RivetTest:
    """Actors for one test, on virtual time; see ``rivetkit.testing.RivetTest``."""
    if "anyio_backend" in request.fixturenames:
        return request.getfixturevalue("_rivet_on_anyio")
    if not inspect.iscoroutinefunction(getattr(request.node, "obj", None)):
        pytest.fail("a test that uses rivet is an `async def`", pytrace=False)
    return request.getfixturevalue("_rivet_on_pytest_asyncio")


@pytest.fixture
async def _rivet_on_anyio(
    request: pytest.FixtureRequest, rivet_registry: Registry, rivet_host: str
) -> AsyncGenerator[RivetTest]:
    async with rivet_test(request, rivet_registry, rivet_host) as rivet:
        yield rivet


def rivet_test(request: pytest.FixtureRequest, registry: Registry, host: str) -> RivetTest:
    """A ``RivetTest`` as the command line and the test's marker, which goes before the fixture, want it."""
    from rivetkit.testing import RivetTest

    config = request.config
    registry = _marked_registry(request) or registry
    start = _marked(request).get("start")
    if start is not None and host != "memory":
        pytest.skip("time is real on an engine: a test cannot choose when it begins")
    max_wait = _option(config, "--rivet-max-wait", float)
    return RivetTest(registry, seed=config.stash[_SEED], start=start, host=host, max_wait=max_wait)


def _marked_registry(request: pytest.FixtureRequest) -> Registry | None:
    """The actors that the test's marker names."""
    from rivetkit import Registry

    actors = _marked(request).get("actors")
    return Registry(*actors, engine="embedded") if actors else None


def _marked(request: pytest.FixtureRequest) -> dict[str, Any]:
    marker = request.node.get_closest_marker("rivet")
    if marker is None:
        return {}
    listed = isinstance(marker.kwargs.get("actors", []), list | tuple)
    if marker.args or not listed or not set(marker.kwargs) <= {"actors", "start"}:
        pytest.fail(
            "the marker rivet takes a list actors= and start=: @pytest.mark.rivet(actors=[MyActor])",
            pytrace=False,
        )
    return marker.kwargs


def _option(config: pytest.Config, name: str, kind: type[T]) -> T:
    value: object = config.getoption(name)
    assert isinstance(value, kind)
    return value


def _not_on_this_host(failure: BaseException) -> str | None:
    """What a test asked of an engine that only virtual time can do."""
    if isinstance(failure, BaseExceptionGroup):
        inner = cast("BaseExceptionGroup[BaseException]", failure).exceptions
        return next(filter(None, map(_not_on_this_host, inner)), None)
    return str(failure) if type(failure).__name__ == "NotOnThisHost" else None


def _seed(given: str | None) -> int | None:
    if given is None:
        return None
    if given == "random":
        return random.randrange(2**32)  # noqa: S311 - it is no secret
    try:
        return int(given)
    except ValueError:
        raise pytest.UsageError(f'--rivet-seed is a number or "random", not {given!r}') from None


def _uses_rivet(collector: pytest.Module | pytest.Class, test: Callable[..., object]) -> bool:
    """Whether a test asks for the fixture, itself or through others."""
    fixtures: Any = getattr(collector.session, "_fixturemanager")  # noqa: B009 - there is no public way
    cls = collector.obj if isinstance(collector, pytest.Class) else None
    return "rivet" in fixtures.getfixtureinfo(node=collector, func=test, cls=cls).names_closure


def _is_run_by_pytest_asyncio(collector: pytest.Module | pytest.Class, test: object) -> bool:
    config = collector.config
    if not config.pluginmanager.has_plugin("asyncio"):
        return False
    marks = {mark.name for mark in (*collector.iter_markers(), *getattr(test, "pytestmark", ()))}
    mode = config.getoption("asyncio_mode", default=None) or config.getini("asyncio_mode")
    return "asyncio" in marks or (str(getattr(mode, "value", mode)) == "auto" and "anyio" not in marks)


def _chooses_backend(metafunc: pytest.Metafunc) -> bool:
    """Whether the test says what anyio's backend is, or has a fixture of its own for it."""
    for marker in metafunc.definition.iter_markers("parametrize"):
        if "anyio_backend" in str(marker.args[0]):
            return True
    known: dict[str, Any] = getattr(metafunc, "_arg2fixturedefs", {})
    owners = {definition.func.__module__ for definition in known.get("anyio_backend", ())}
    return bool(owners - {"anyio.pytest_plugin"})
