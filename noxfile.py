"""The verbs of this project: `nox -l` lists them, `nox -s readiness` is the main one."""

from __future__ import annotations

import os
import shutil
import subprocess

import nox

nox.needs_version = ">=2025.2.9"
nox.options.default_venv_backend = "uv|venv"
nox.options.reuse_venv = "yes"
nox.options.sessions = ["lint", "types", "tests"]

PROJECT = nox.project.load_toml("pyproject.toml")

# They have sessions of their own, and the last an environment too.
SLOW_SUITES = ["--ignore=suites/performance", "--ignore=suites/statistics", "--ignore=suites/peers"]

WORKERS = min(4, (os.cpu_count() or 1) + 1)
"""One more than there are cores, since tests wait more than they compute; not many more, for some have deadlines."""

SIDE_BY_SIDE = [f"--numprocesses={WORKERS}", "--no-loadscope-reorder"]
"""How suites/support/turns.py deals the tests out; `-n 0` puts them all into one process."""

PATIENT = {"interrupt_timeout": 60.0, "terminate_timeout": 30.0}
"""After a Ctrl-C nox would kill after half a second: less than it takes to heal and to keep what was seen."""

WITH_BYTECODE = {"PYTHONDONTWRITEBYTECODE": None}
"""Images of Python often set it, and each of some hundred processes that the suites start would compile the harness."""

OLDEST_NODE = 20  # for Allure's page; as in harness/report/allure/npx.py


def _install(session: nox.Session, *groups: str, extras: str = "embedded,reference") -> None:
    """Install the project in place, with the dependency groups of pyproject.toml."""
    requirements = [word for group in groups for word in nox.project.dependency_groups(PROJECT, group)]
    session.install("-e", f".[{extras}]", *requirements)


def _install_to_run(session: nox.Session, *groups: str) -> None:
    """Install what a run needs; Allure's page is built by Node, which comes as a wheel where PATH has none."""
    _install(session, *groups, extras="embedded,reference" if _has_node() else "embedded,reference,allure")
    _compile(session)


def _compile(session: nox.Session) -> None:
    """Compile what a run starts, by importing it once.

    uv leaves that to the first import, and a run's children write no bytecode: they would compile Locust at each start,
    which takes 2.9 s of a core instead of 1.1 s. Compiling all that is installed would take a minute.
    """
    started = "locust, harness.cli.run, harness.load.generator.generator, fixtures.defects.app, uvicorn.main"
    session.run_install("python", "-c", f"import {started}", env=WITH_BYTECODE, silent=True)


def _has_node() -> bool:
    node = shutil.which("node")
    if node is None or shutil.which("npx") is None:
        return False
    said = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout
    major = said.strip().lstrip("v").partition(".")[0]
    return major.isdecimal() and int(major) >= OLDEST_NODE


def _pytest(session: nox.Session, *arguments: str, program: tuple[str, ...] = ("pytest",)) -> None:
    """Run pytest, which keeps the folders of its last three runs: beside nox's own, not in the machine's /tmp."""
    session.cache_dir.mkdir(parents=True, exist_ok=True)
    session.run(
        *program,
        *arguments,
        env={"PYTEST_DEBUG_TEMPROOT": str(session.cache_dir.resolve()), **WITH_BYTECODE},
        **PATIENT,
    )


@nox.session
def readiness(session: nox.Session) -> None:
    """Judge the reference service: every scenario, about four minutes. Needs nothing but Python; try -- --help."""
    _install_to_run(session, "test")
    session.run("readiness", "run", *session.posargs, **PATIENT)


@nox.session
def tests(session: nox.Session) -> None:
    """All suites, with real servers where something crosses a socket: a few minutes. Takes pytest's arguments."""
    _install(session, "test", extras="embedded,reference,allure")
    _compile(session)
    _pytest(session, *SIDE_BY_SIDE, *(session.posargs or ["suites", *SLOW_SUITES]))


@nox.session
def lint(session: nox.Session) -> None:
    """Ruff's rules and format, and the layers of the house (import-linter): seconds."""
    _install(session, "lint")
    session.run("ruff", "check", *session.posargs)
    session.run("ruff", "format", "--check")
    session.run("lint-imports")


@nox.session
def types(session: nox.Session) -> None:
    """mypy --strict on harness/ and on the reference service: half a minute."""
    _install(session, "types")
    session.run("mypy", *session.posargs)


@nox.session(default=False)
def chaos(session: nox.Session) -> None:
    """One or more scenarios by name: about a minute each. `nox -s chaos -- redis-latency --defect redis-no-timeout`."""
    _install_to_run(session, "test")
    if not session.posargs:
        session.error("name at least one scenario: nox -s chaos -- redis-down (all of them: nox -s readiness)")
    session.run("readiness", "run", *session.posargs, **PATIENT)


@nox.session(default=False)
def images(session: nox.Session) -> None:
    """Images for --backend containers: pulled, or built from wheels where no registry answers: a minute or two."""
    _install(session)
    session.install("pip")  # which uv's environments lack; it downloads the wheels of the service's image
    session.run("readiness", "images", *session.posargs, **PATIENT)


@nox.session(default=False)
def load(session: nox.Session) -> None:
    """Open-arrival load on an address of this machine: `nox -s load -- http://127.0.0.1:8000 --rate 200 --for 30s`."""
    _install(session)
    session.run("readiness", "load", *session.posargs, **PATIENT)


@nox.session(default=False)
def bench(session: nox.Session) -> None:
    """Benchmarks: about ten minutes, alone on the machine; toxiproxy-server and redis-benchmark on PATH to compare.

    All of them write docs/core-speed.md. Other libraries are measured beside the reference core.
    """
    _install(session, "test", "peers")
    _pytest(session, *(session.posargs or ["suites/performance", "--speed-page=docs/core-speed.md"]))


@nox.session(default=False)
def statistics(session: nox.Session) -> None:
    """How often verdicts are wrong where the truth is known: some sixty thousand simulated runs, a few minutes.

    READINESS_STATISTICS_RUNS=200 takes a fifth of them, in less than a minute.
    """
    _install(session, "test")
    _pytest(session, "suites/statistics", *session.posargs)


@nox.session(default=False)
def kills(session: nox.Session) -> None:
    """SIGKILL at seeded moments: 25 of a run with seven faults, 20 of the core's worker and the service's; minutes."""
    _install(session, "test")
    session.env["READINESS_KILLS"] = "all"
    killed = ["chaos/test_sigkill.py", "core/worker/test_worker_killed.py", "health/test_reference_worker_killed.py"]
    _pytest(session, *(f"suites/{each}" for each in killed), *session.posargs)


@nox.session(default=False)
def sensitivity(session: nox.Session) -> None:
    """Each seeded defect on each scenario that claims to catch it: a minute a claim. `-- --tier P0`, `-- --defect ID`.

    All of them write docs/sensitivity.md. What follows its own options goes to `readiness run`.
    """
    _install_to_run(session, "test")
    session.run("python", "-m", "fixtures.trials.sensitivity", *session.posargs, **PATIENT)


@nox.session(default=False)
def alarms(session: nox.Session) -> None:
    """How often a healthy service is called broken: 20 runs, an hour and a half. `-- --runs 3 --beside 1 no-fault`.

    Adds a line to docs/alarms.md. What follows its own options goes to `readiness run`.
    """
    _install_to_run(session, "test")
    session.run("python", "-m", "fixtures.trials.alarms", *session.posargs, **PATIENT)


@nox.session(default=False)
def sharing(session: nox.Session) -> None:
    """What a shared stack changes: the same scenarios on one and each on its own, ten times; an hour and a half.

    Writes docs/sharing.md. `-- --runs 1` once; what follows its own options goes to `readiness run`.
    """
    _install_to_run(session, "test")
    session.run("python", "-m", "fixtures.trials.sharing", *session.posargs, **PATIENT)


@nox.session(default=False)
def doses(session: nox.Session) -> None:
    """What is asked of each kind of fault, and what is seen of it: one run, five minutes. `-- --kind reset`.

    Writes docs/doses.md.
    """
    _install_to_run(session, "test")
    session.run("python", "-m", "fixtures.trials.doses", *session.posargs, **PATIENT)


@nox.session(default=False)
def first_hour(session: nox.Session) -> None:
    """Five projects of other people, from nothing to a verdict, each with a red twin: 20 minutes. `-- --project flask`.

    Writes docs/first-hour.md.
    """
    _install_to_run(session, "test")
    session.run("python", "-m", "fixtures.trials.first_hour", *session.posargs, **PATIENT)


@nox.session(default=False)
def steady(session: nox.Session) -> None:
    """The core's suites with 20 seeds, three of them beside three busy processes: 40 minutes; `-- 7` is one of these.

    Writes docs/steady.md.
    """
    _install(session, "test")
    _compile(session)
    _pytest(session, *session.posargs, program=("python", "-m", "suites.support.steady"))


@nox.session(default=False)
def mutants(session: nox.Session) -> None:
    """Realistic mistakes in the reference core, each on the test that must notice: minutes; `-- breaker` tries a part.

    Each part is written into docs/mutants.md. `-- --drawn 60 --seed 1` tries others, drawn at random, on whole suites.
    """
    _install(session, "test")
    _compile(session)
    session.run("python", "-m", "fixtures.defects.mutants", *session.posargs, env=WITH_BYTECODE, **PATIENT)


@nox.session(default=False)
def peers(session: nox.Session) -> None:
    """Other libraries, pinned, held to the contracts of the reference core: minutes; writes docs/peers.md."""
    _install(session, "test", "peers")
    _pytest(session, *(session.posargs or ["suites/peers", "--page=docs/peers.md"]))


@nox.session(default=False)
def report(session: nox.Session) -> None:
    """Write a finished run's pages again: `nox -s report -- RUN`; seconds."""
    _install_to_run(session)
    session.run("readiness", "report", *session.posargs, **PATIENT)
