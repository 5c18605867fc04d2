from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.filterwarnings("ignore:.*asyncio_default_fixture_loop_scope")

ROOT = Path(__file__).parents[4]
PROGRAM = """
from rivetkit import Actor, action

class Counter(Actor):
    state: int = 0

    @action
    async def add(self, by: int) -> int:
        self.state += by
        return self.state
"""
TEST = """
import asyncio
import pytest
from program import Counter

@pytest.mark.rivet(actors=[Counter])
async def test_adds(rivet):
    counter = rivet.client.get_or_create(Counter)
    assert await counter.call(Counter.add, 1) == 1
    await rivet.clock.advance(days=30)
    assert await counter.call(Counter.add, 1) == 2
"""
FAILING = TEST.replace("== 2", "== 3")


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    pytester.makepyfile(program=PROGRAM)
    return pytester


def run(project: pytest.Pytester, *args: str) -> pytest.RunResult:
    return project.runpytest_inprocess("-p", "rivetkit_pytest", "-p", "no:cacheprovider", *args)


def test_a_test_runs_without_any_setting(project: pytest.Pytester) -> None:
    project.makepyfile(TEST)
    result = run(project, "-v")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*test_adds PASSED*"])


@pytest.mark.parametrize("mark", ["anyio_mode = auto", ""])
def test_a_test_of_anyio_runs_once_and_on_asyncio(project: pytest.Pytester, mark: str) -> None:
    project.makeini(f"[pytest]\n{mark}")
    project.makepyfile(TEST if mark else TEST.replace("async def", "@pytest.mark.anyio\nasync def"))
    run(project).assert_outcomes(passed=1)


def test_a_project_may_have_its_own_backend_fixture(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.makeconftest(
        """
        import pytest

        @pytest.fixture
        def anyio_backend():
            return "asyncio", {"debug": True}
        """
    )
    project.makepyfile(
        TEST + "    assert asyncio.get_running_loop().get_debug()\n", test_other="def test_other(): pass"
    )
    # Inside this process anyio would go on with the loop of a fixture that outlives its test.
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), str(project.path)]))
    project.runpytest_subprocess("-p", "rivetkit_pytest").assert_outcomes(passed=2)


def test_the_registry_is_a_fixture_of_the_project(project: pytest.Pytester) -> None:
    project.makeconftest(
        """
        import pytest
        from program import Counter
        from rivetkit import Registry

        @pytest.fixture
        def rivet_registry():
            return Registry(Counter)

        @pytest.fixture
        async def counter(rivet):
            handle = rivet.client.get_or_create(Counter)
            await handle.call(Counter.add, 5)
            return handle
        """
    )
    project.makepyfile(
        """
        from program import Counter

        async def test_in_a_fixture(counter):
            assert await counter.call(Counter.add, 1) == 6

        class TestMethods:
            async def test_in_a_class(self, rivet, counter):
                await rivet.crash(counter)
                assert await counter.call(Counter.add, 1) == 1
        """
    )
    run(project).assert_outcomes(passed=2)


def test_without_actors_the_error_says_what_to_write(project: pytest.Pytester) -> None:
    project.makepyfile("async def test_nothing(rivet): pass")
    result = run(project)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*fixture named rivet_registry*@pytest.mark.rivet*"])


def test_a_marker_goes_before_the_fixture_of_the_project(project: pytest.Pytester) -> None:
    project.makeconftest(
        """
        import pytest
        from rivetkit import Actor, Registry

        class Other(Actor): ...

        @pytest.fixture
        def rivet_registry():
            return Registry(Other)
        """
    )
    project.makepyfile(TEST)
    run(project).assert_outcomes(passed=1)


@pytest.mark.parametrize("given", ["[Counter]", "actor=[Counter]", "actors=Counter"])
def test_a_marker_that_names_actors_in_another_way_is_refused(project: pytest.Pytester, given: str) -> None:
    project.makepyfile(TEST.replace("actors=[Counter]", given))
    result = run(project)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*the marker rivet takes a list actors= and start=*"])


def test_a_test_may_begin_at_a_moment_of_its_choice(project: pytest.Pytester) -> None:
    project.makepyfile(
        """
        from datetime import UTC, datetime

        import pytest
        from program import Counter

        WHEN = datetime(2040, 2, 29, tzinfo=UTC)

        @pytest.mark.rivet(actors=[Counter], start=WHEN)
        async def test_begins(rivet):
            assert rivet.clock.now() == WHEN
        """
    )
    run(project).assert_outcomes(passed=1)
    run(project, "--rivet-host=http://engine.invalid").assert_outcomes(skipped=1)


def test_a_test_that_cannot_wait_is_refused(project: pytest.Pytester) -> None:
    project.makepyfile("def test_nothing(rivet): pass")
    result = run(project)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*is an `async def`*"])


def test_a_failure_tells_its_seed(project: pytest.Pytester) -> None:
    project.makepyfile(FAILING)
    result = run(project, "--rivet-seed=7")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["rivet: host memory, seed 7", "*--rivet-seed=7"])


def test_a_random_seed_is_told(project: pytest.Pytester) -> None:
    project.makepyfile(FAILING)
    run(project, "--rivet-seed=random").stdout.re_match_lines([r"rivet: host memory, seed \d+"])


def test_without_a_seed_nothing_is_said(project: pytest.Pytester) -> None:
    project.makepyfile(FAILING)
    run(project).stdout.no_fnmatch_line("*rivet: host*")


def test_a_seed_is_a_number(project: pytest.Pytester) -> None:
    result = run(project, "--rivet-seed=often")
    result.stderr.fnmatch_lines(["*--rivet-seed is a number*"])


def test_what_an_engine_cannot_do_is_skipped(project: pytest.Pytester) -> None:
    project.makepyfile(
        """
        from rivetkit.testing import NotOnThisHost

        async def test_a_month():
            raise NotOnThisHost("time is real")

        async def test_a_month_in_a_group():
            raise ExceptionGroup("", [ExceptionGroup("", [NotOnThisHost("time is real")])])
        """,
        test_plain="def test_plain(): pass",
    )
    run(project, "--anyio-mode=auto", "-rs").assert_outcomes(passed=1, skipped=2)


def test_the_plugin_imports_nothing_before_it_is_used() -> None:
    code = "import rivetkit_pytest, sys; print([m for m in sys.modules if m in ('rivetkit', 'pydantic')])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"


def test_importing_rivetkit_imports_no_pytest() -> None:
    code = "import rivetkit, rivetkit.testing, sys; print('pytest' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"


@pytest.mark.parametrize("mode", ["strict", "auto"])
def test_pytest_asyncio_runs_tests_too(project: pytest.Pytester, mode: str) -> None:
    pytest.importorskip("pytest_asyncio")
    project.makeini(f"[pytest]\nasyncio_mode = {mode}\n")
    marked = TEST.replace("async def", "@pytest.mark.asyncio\nasync def")
    project.makepyfile(
        TEST if mode == "auto" else marked,
        test_fixtures=(marked if mode == "strict" else TEST).replace("(rivet)", "(rivet, counter)")
        + """
import pytest_asyncio

@pytest_asyncio.fixture
async def counter(rivet):
    return rivet.client.get_or_create(Counter)
""",
    )
    run(project, "-v").assert_outcomes(passed=2)


def test_beside_pytest_asyncio_unmarked_tests_run_on_anyio(project: pytest.Pytester) -> None:
    pytest.importorskip("pytest_asyncio")
    project.makepyfile(TEST)
    run(project).assert_outcomes(passed=1)


def test_a_loop_of_another_scope_is_noticed(project: pytest.Pytester) -> None:
    pytest.importorskip("pytest_asyncio")
    project.makepyfile(TEST.replace("async def", '@pytest.mark.asyncio(loop_scope="session")\nasync def'))
    result = run(project)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*another event loop than the fixture*"])
