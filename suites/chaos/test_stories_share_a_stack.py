"""`readiness run --shared-stack` on a real stack: what is handed on, what is not, and that nothing of it stays behind."""

from __future__ import annotations

import json
import signal
import subprocess
import tempfile
from pathlib import Path

import pytest

from harness.clock import SystemClock, is_met_within
from harness.evidence.store import read_history
from harness.faults.healing import marked_processes
from harness.faults.ledger import read_ledger
from harness.faults.undo import WORK_PREFIX
from harness.verdict.outcome import Outcome
from suites.chaos.test_run import OF_THE_MACHINE, PATIENCE_S, command, environment, readiness, run_folder
from suites.support.servers import PROJECT

CLOCK = SystemClock()

SETTINGS = """
[system]
name = "dummy"
[system.components.redis]
[system.subject]
app = "hurt:create_app"
ready = "/"
[[objectives]]
sli = "errors"
max = "5%"
[profiles.quick]
stretch = 1.0
shared_stack = true
"""

# A service that, from the first outage on, is well for everybody but for those who look for it: it forgets its Redis.
HURT = '''
"""A service that asks Redis something with each request; if it FORGETS, never again after the first failure."""

import asyncio
import os
import sys

from dummy import create_app as plain

HOST, PORT = os.environ["REDIS_HOST"], int(os.environ["REDIS_PORT"])
FORGETS = os.environ["FORGETS"] == "yes"


def create_app():
    app, asks = plain(), [True]
    print("a new life", file=sys.stderr, flush=True)

    async def asking(scope, receive, send):
        if scope["type"] != "lifespan" and asks[0]:
            try:
                reader, writer = await asyncio.open_connection(HOST, PORT)
                writer.write(b"PING\\r\\n")
                said = await asyncio.wait_for(reader.readline(), 1)
                writer.close()
                if said != b"+PONG\\r\\n":
                    raise OSError(said)
            except (OSError, TimeoutError):
                asks[0] = not FORGETS
                print("no Redis", file=sys.stderr, flush=True)
        await app(scope, receive, send)

    return asking
'''

CONTROL = """
scenario: a-control
story: Nothing is broken; as short as a load may be that proves something.
load: {arrivals_per_s: 60, drain: 1s}
phases:
  - {name: baseline, lasts: 3s}
"""

STORY = """
scenario: NAME
story: Redis cannot be reached for three seconds, and nobody minds.
load: {arrivals_per_s: 60, drain: 1s}
phases:
  - {name: baseline, lasts: 4s}
  - {name: fault, lasts: 3s, faults: [{kind: down, target: redis}]}
  - {name: recovery, lasts: 3s}
objectives:
  - {sli: errors, max: 10%, during: fault}
  - {sli: recovery, within: 1s}
"""


@pytest.fixture
def project(tmp_path):
    """A project with a control and two stories, whose service may forget its Redis."""
    (tmp_path / "scenarios").mkdir()
    (tmp_path / "dummy.py").write_text((PROJECT / "suites/support/dummy.py").read_text())
    (tmp_path / "hurt.py").write_text(HURT)
    (tmp_path / "scenarios/a-control.yaml").write_text(CONTROL)
    for name in ("b-down", "c-down"):
        (tmp_path / f"scenarios/{name}.yaml").write_text(STORY.replace("NAME", name))
    return tmp_path


def settled(project, *, forgets):
    variables = (
        f'[system.subject.environment]\nREDIS_HOST = "{{redis.host}}"\nREDIS_PORT = "{{redis.port}}"\n'
        f'FORGETS = "{forgets}"\n'
    )
    (project / "readiness.toml").write_text(SETTINGS.replace("[[objectives]]", variables + "[[objectives]]", 1))
    return project


def found(project):
    """Return what was seen in each story, and its verdict, by name."""
    folder = run_folder(project)
    verdicts = {each["scenario"]: each for each in json.loads((folder / "verdict.json").read_text())["experiments"]}
    return {name: (read_history(folder / name), verdict) for name, verdict in verdicts.items()}


def nothing_is_left(run_id):
    work = list(Path(tempfile.gettempdir()).glob(f"{WORK_PREFIX}{run_id}*"))
    return not list(marked_processes(run_id)) and not work


def unmet(verdict):
    return [each for each in verdict["obligations"] if each["outcome"] != "pass"]


def test_a_stack_is_handed_on_for_as_long_as_it_is_clean_and_outlives_no_run(project):
    """Each story has its own evidence, and its part of what the services wrote; a signal in the third leaves nothing.

    A machine too busy to prove anything hands on no stack: then the next story has a fresh one, and says why.
    """
    with subprocess.Popen(
        command("run", "--no-allure", "--seed", "3"), cwd=settled(project, forgets="no"), stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, env=environment(),
    ) as run:  # fmt: skip
        try:
            told = [line := ""]
            while "c-down: baseline" not in line:
                told.append(line := run.stdout.readline())
                assert line, "".join(told)
            run.send_signal(signal.SIGINT)
            told.append(run.communicate(timeout=PATIENCE_S)[0])
        finally:
            run.kill()
    said, folder = found(project), run_folder(project)

    assert run.returncode == 128 + signal.SIGINT, "".join(told)
    assert is_met_within(lambda: nothing_is_left(folder.name), deadline_s=10, clock=CLOCK)
    assert read_ledger(folder / "ledger.jsonl").is_closed
    assert list(said) == ["a-control", "b-down", "c-down"]
    chain, last = [], None
    for name, (history, verdict) in said.items():
        if last and last["outcome"] == "pass":
            assert history.beginning.after == tuple(chain), "".join(told)
            assert history.phase("baseline").began_s == 0
            assert f"{name}: begins where {chain[-1]} ended" in "".join(told)
            assert f"It began where {chain[-1]} ended: " in (folder / name / "report.md").read_text()
            assert f"It began where {chain[-1]} ended: " in (folder / name / "index.html").read_text()
        elif last:
            assert (
                history.beginning.why_fresh
                == f"{last['scenario']} does not hand on its stack: its verdict is {last['outcome']}"
            )
            assert {each["name"] for each in unmet(last)} <= OF_THE_MACHINE | {"fault delivered: redis down"}, "".join(
                told
            )
            chain = []
        chain, last = [*chain, name], verdict
    history, verdict = said["b-down"]
    logs = {name: (folder / name / "logs/replica-1.log").read_text() for name in said}
    assert [logs[name].count("a new life") for name in said] == [int(not each.continues) for each, _ in said.values()]
    assert ["no Redis" in logs[name] for name in ("a-control", "b-down")] == [False, True]
    if history.continues:
        assert (round(history.phase("baseline").lasted_s), verdict["family"]) == (3, 4)
        assert "promises kept before the fault" in {each["name"] for each in verdict["obligations"]}
    assert readiness(project, "verify", f"{folder}/b-down").returncode == Outcome(verdict["outcome"]).exit_code


def test_a_service_that_does_not_take_up_what_it_had_is_not_handed_on(project):
    """It keeps every promise, and never asks Redis again: only the edge tells, and the next story gets a fresh stack."""
    run = readiness(settled(project, forgets="yes"), "run", "b-down", "c-down", "--no-allure", "--seed", "3")
    said = found(project)

    (_, before), (history, verdict) = said["b-down"], said["c-down"]
    if before["outcome"] == "pass":
        assert "bytes a second, of" in history.beginning.why_fresh, run.stdout
    else:
        assert {each["name"] for each in unmet(before)} <= OF_THE_MACHINE | {"fault delivered: redis down"}, run.stdout
    assert {claim["outcome"] for claim in before["claims"]} == {"pass"}
    assert history.beginning.why_fresh.startswith("b-down does not hand on its stack: ")
    assert history.beginning.after == ()
    assert history.phase("baseline").lasted_s == pytest.approx(4, abs=0.1)
    fresh = next(each for each in verdict["obligations"] if each["name"] == "a clean beginning")
    assert fresh["sentence"] == f"a fresh stack, because {history.beginning.why_fresh}"
    assert f"c-down: a fresh stack, because {history.beginning.why_fresh}" in run.stdout
    assert "It began on a fresh stack, because b-down does not" in (run_folder(project) / "index.html").read_text()
    assert nothing_is_left(run_folder(project).name)
