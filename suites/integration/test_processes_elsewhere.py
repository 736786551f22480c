"""A service that somebody else runs is killed and frozen by their commands, seen to be, and brought back, whatever happens."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from harness.clock import FakeClock, SystemClock, is_met_within
from harness.errors import FaultError, MissingError, NotReadyError
from harness.faults.healing import heal
from harness.faults.injection import injected
from harness.faults.ledger import Ledger, read_ledger
from harness.faults.permission import Permission, permitted_by, why_not_ours
from harness.spec.external import CommandedProcess
from harness.spec.faults import Kill, Pause
from harness.spec.system import Subject, System
from harness.stack.backends.choice import EMBEDDED, standing
from harness.stack.backends.elsewhere import ProcessElsewhere, _told
from harness.stack.backends.order import carry_out
from harness.stack.blueprint import Blueprint
from harness.stack.elsewhere import Order, Saw
from harness.stack.stack import Stack
from suites.support.elsewhere import SomebodyElses
from suites.support.servers import PROJECT, free_port, workspace_for

CLOCK = SystemClock()
KILL, PAUSE = Kill(kind="kill", target="api-1"), Pause(kind="pause", target="api-1")


@pytest.fixture
def service(tmp_path):
    """One that runs already, in a folder of its owner's; whatever a test did to it, it is ended in the end."""
    (folder := tmp_path / "theirs").mkdir()
    running = SomebodyElses(folder, free_port())
    running.run("start")
    (folder / "asked").unlink()
    yield running
    running.run("stop")


def described(service, **otherwise):
    said = {
        "kill": service.command("stop"),
        "restore": service.command("start"),
        "pause": service.command("pause"),
        "resume": service.command("resume"),
        "ready": service.url,
    }
    return CommandedProcess.model_validate({**said, **otherwise}, strict=True)


def stack_of(service, **otherwise):
    """Return a system of which nothing is known but that process."""
    process = ProcessElsewhere("api-1", described(service, **otherwise), service.folder)
    return Stack(
        backend=EMBEDDED,
        services={},
        edges=(),
        proxy=None,
        entry=None,
        startup=(),
        elsewhere={"api-1": process},
    )


def commands_left(ledger):
    return [entry for entry in read_ledger(ledger.path).left if entry.kind == "command"]


@pytest.mark.parametrize(
    ("fault", "asked", "seen"),
    [
        pytest.param(KILL, ["stop", "start"], "api-1 killed: GET {} was not answered (ConnectError)", id="killed"),
        pytest.param(PAUSE, ["pause", "resume"], "api-1 paused: GET {} was not answered within 2 s", id="paused"),
    ],
)
def test_it_is_hit_by_one_command_and_brought_back_by_the_other(service, ledger, fault, asked, seen):
    """What undoes it is on disk before; the dose is what its own address says, and it serves again at the end."""
    former = service.pid
    with injected(fault, into=stack_of(service), ledger=ledger, clock=CLOCK) as injection:
        assert [entry.facts["argv"][-4:] for entry in commands_left(ledger)] == [[asked[1], *service.command("")[3:]]]
        dose = injection.observe()
        assert (dose.is_delivered, dose.seen) == (True, seen.format(service.url))
        assert service.asked == asked[:1]

    assert service.asked == asked
    assert stack_of(service).elsewhere["api-1"].serves()
    assert (service.pid == former) == (fault is PAUSE)
    assert commands_left(ledger) == []
    assert injection.mark().healed_s is not None


def test_the_command_that_undoes_is_noted_before_the_one_that_does(service, ledger):
    """A ledger that cannot be written keeps it from being hurt."""

    class Full(Ledger):
        def __init__(self):
            self.path = ledger.path

        def note(self, *_, **__):
            raise FaultError("cannot write the ledger", where="here", fix="make room")

    with pytest.raises(FaultError, match="cannot write the ledger"):
        with injected(KILL, into=stack_of(service), ledger=Full(), clock=CLOCK):
            pass

    assert service.asked == []


def test_a_command_that_returns_and_does_nothing_is_no_dose(service, ledger):
    """Its exit code says that all is done, and its address still answers."""
    stack = stack_of(service, kill=("true",))
    with injected(KILL, into=stack, ledger=ledger, clock=FakeClock()) as injection:
        dose = injection.observe()

    assert (dose.is_delivered, dose.seen) == (False, f"api-1 killed: GET {service.url} was answered with 200")


def test_a_frozen_process_that_is_dead_is_no_dose(service, ledger):
    """What refuses connections is not frozen: the kernel accepts for what is."""
    stack = stack_of(service, pause=service.command("stop"), resume=service.command("start"))
    with injected(PAUSE, into=stack, ledger=ledger, clock=FakeClock()) as injection:
        assert not injection.observe().is_delivered


def test_what_did_not_serve_before_is_left_alone(service, ledger):
    """Whatever was seen of it afterwards would prove nothing, and nobody's staging is killed for that."""
    service.run("stop")
    with injected(KILL, into=stack_of(service), ledger=ledger, clock=CLOCK) as injection:
        dose = injection.observe()

    assert not dose.is_delivered
    assert dose.seen.startswith("api-1 was not killed: it did not serve before (GET ")
    assert service.asked == ["stop"]
    assert commands_left(ledger) == []


def test_a_command_that_fails_is_told_with_its_last_words_and_undone(service, ledger):
    """It may have done half of what it was to do."""
    with pytest.raises(FaultError) as told:
        with injected(KILL, into=stack_of(service, kill=service.command("break")), ledger=ledger, clock=CLOCK):
            pass

    assert told.value.what.startswith("api-1 could not be killed: `")
    assert told.value.what.endswith("exit 7")
    assert "| the disk is on fire" in told.value.fix
    assert told.value.where == "readiness.toml: system.subject.processes.api-1.kill"
    assert service.asked == ["break", "start"]
    assert commands_left(ledger) == []


def test_what_cannot_be_brought_back_stays_in_the_ledger(service, ledger):
    """Whoever heals later tries again; the error says what was tried, and what it said."""
    stack = stack_of(service, restore=service.command("break"))
    with pytest.raises(FaultError, match=r"api-1 could not be brought back: .* exit 7") as told:
        with injected(KILL, into=stack, ledger=ledger, clock=CLOCK):
            pass

    assert "the disk is on fire" in told.value.fix
    assert len(commands_left(ledger)) == 1


def test_what_was_brought_back_and_does_not_serve_is_told(service, ledger):
    """A command may return before anything is well, and may be wrong about it."""
    stack = stack_of(service, restore=("true",), ready_within="300ms")
    with pytest.raises(NotReadyError, match=r"api-1 does not serve after `\S*true`, within 0.3 s: GET .*ConnectError"):
        with injected(KILL, into=stack, ledger=ledger, clock=CLOCK):
            pass


def test_a_command_has_a_time_limit_and_takes_what_it_started_along(tmp_path):
    """Nothing of it goes on beside what comes next."""
    began_s = time.monotonic()
    script = f"sleep 60 & echo $! > {tmp_path}/pid; echo waiting; wait"
    ended = carry_out(Order(("/bin/sh", "-c", script), str(tmp_path), 0.5))

    assert (ended.status, ended.is_well, str(ended)) == (None, False, "took longer than 0.5 s")
    assert ended.words == "waiting"
    assert time.monotonic() - began_s < 20
    sleeping = int((tmp_path / "pid").read_text())
    assert is_met_within(lambda: not psutil.pid_exists(sleeping), deadline_s=5, clock=CLOCK)


def test_no_shell_reads_a_command(tmp_path):
    """What would be a redirection, a variable or a second command is a word."""
    words = ("$HOME", ">", "x", ";", "`id`")
    ended = carry_out(Order(("/bin/echo", *words), str(tmp_path), 5.0))

    assert ended.words == " ".join(words)
    assert list(tmp_path.iterdir()) == []


def test_what_it_starts_is_not_marked_as_ours(tmp_path, monkeypatch):
    """By the mark of a run its processes are ended, and what was brought back is to stay."""
    monkeypatch.setenv("READINESS_RUN", "another")

    assert "READINESS_RUN" not in carry_out(Order(("/usr/bin/env",), str(tmp_path), 5.0)).words


@pytest.mark.parametrize(
    ("script", "saw"),
    [
        ("exit 0", Saw.SERVES),
        ("exit 3", Saw.UNWELL),
        ("exit 1", Saw.UNWELL),
        ("exit 126", Saw.UNKNOWN),
        ("exit 127", Saw.UNKNOWN),
        ("exit 255", Saw.UNKNOWN),
        ("kill -9 $$", Saw.UNKNOWN),
        ("sleep 60", Saw.SILENT),
    ],
)
def test_a_command_that_could_not_ask_proves_nothing(tmp_path, script, saw):
    """An ssh that reaches nobody, and a shell that finds no program, are not a process that is dead."""
    assert _told(Order(("/bin/sh", "-c", script), str(tmp_path), 0.5)).saw is saw


def test_a_command_tells_as_well_whether_it_serves(service, ledger):
    """`systemctl is-active` ends with 3 for what is not."""
    with injected(
        KILL, into=stack_of(service, ready=service.command("status")), ledger=ledger, clock=CLOCK
    ) as injection:
        dose = injection.observe()

    assert dose.is_delivered
    assert dose.seen.endswith("says no (exit 3)")


def test_a_name_that_nobody_knows_proves_nothing(tmp_path):
    """A resolver that fails while the fault is there is no death."""
    process = CommandedProcess(kill=["true"], restore=["true"], ready="http://nobody.invalid:80/")

    look = ProcessElsewhere("api-1", process, tmp_path).look()

    assert (look.saw, "could not be asked" in look.said) == (Saw.UNKNOWN, True)


def external(service, **otherwise):
    """Return the system of which that service is the subject, with commands that hit it."""
    said = {"external": f"http://127.0.0.1:{service.port}", "ready": "/"}
    return System(name="staged", subject=Subject(**said, processes={"api-1": described(service, **otherwise)}))


def test_it_is_there_on_the_stack_of_what_runs_already(service, tmp_path):
    """As what can be hit, and as no service: nothing here is its parent."""
    with workspace_for() as workspace:
        with standing(EMBEDDED, Blueprint(system=external(service), seed=1), workspace=workspace, clock=CLOCK) as stack:
            assert list(stack.elsewhere) == ["api-1"]
            assert "api-1" not in stack.services
            assert (stack.hears("api-1"), stack.hears("redis")) == (False, True)


@pytest.mark.parametrize(
    ("otherwise", "error", "said"),
    [
        ({"kill": ("no-such-program", "x")}, MissingError, "there is no no-such-program to run"),
        (
            {"ready": f"http://127.0.0.1:{free_port()}/", "ready_within": "200ms"},
            NotReadyError,
            "api-1 does not serve before the load",
        ),
    ],
)
def test_what_can_be_known_before_the_load_is_told_then(service, otherwise, error, said):
    """And nothing was asked of its commands."""
    blueprint = Blueprint(system=external(service, **otherwise), seed=1)
    with workspace_for() as workspace, pytest.raises(error, match=said):
        with standing(EMBEDDED, blueprint, workspace=workspace, clock=CLOCK):
            pass

    assert service.asked == []


KILLED = """
import json, os, signal, sys
from pathlib import Path
from harness.clock import SystemClock
from harness.faults.guardian import guarded
from harness.faults.injection import injected
from harness.faults.ledger import Ledger
from harness.faults.permission import permitted_by
from harness.options import settings_of
from harness.spec.faults import Kill
from harness.stack.backends.elsewhere import processes_elsewhere
from harness.stack.stack import Stack

project, path = Path.cwd(), Path(sys.argv[1])
system = settings_of(project).system
stack = Stack(backend="embedded", services={}, edges=(), proxy=None, entry=None, startup=(),
              elsewhere=processes_elsewhere(system.subject, project))
ledger = Ledger(path, path.parent.name)
with guarded(path, permitted_by(system, project)):
    with injected(Kill(kind="kill", target="api-1"), into=stack, ledger=ledger, clock=SystemClock()) as injection:
        print(json.dumps(injection.observe().is_delivered), flush=True)
        signal.pause()
"""

SETTINGS = """
[system]
name = "staged"
[system.subject]
external = "http://127.0.0.1:{port}"
[system.subject.processes.api-1]
kill = {stop}
restore = {start}
ready = "http://127.0.0.1:{port}/"
[[objectives]]
sli = "errors"
max = "1%"
[profiles.quick]
stretch = 1.0
"""


@pytest.fixture
def project(service, tmp_path):
    """A folder with the readiness.toml that says its commands."""
    (folder := tmp_path / "project").mkdir()
    stop, start = (json.dumps(service.command(word)) for word in ("stop", "start"))
    (folder / "readiness.toml").write_text(SETTINGS.format(port=service.port, stop=stop, start=start))
    return folder


def killed_while_it_is_down(project, *, with_its_guardian):
    """Let a run kill the service, and kill the run; return its ledger."""
    (folder := project / "reports/runs/killed").mkdir(parents=True)
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    run = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(folder / "ledger.jsonl")],
        cwd=project,
        env=environment,
        stdout=subprocess.PIPE,
    )
    assert json.loads(run.stdout.readline()) is True
    if with_its_guardian:
        of_run = psutil.Process(run.pid).children()
        (guardian,) = [each for each in of_run if "harness.faults.guardian" in each.cmdline()]
        guardian.kill()
    run.kill()
    run.wait()
    run.stdout.close()
    return folder / "ledger.jsonl"


def readiness_heal(project):
    """Run the command as people do, where readiness.toml stands."""
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    command = [sys.executable, "-c", "from harness.cli import main; main()", "heal"]
    return subprocess.run(
        command, cwd=project, env=environment, capture_output=True, text=True, check=False, timeout=60
    )


def test_the_guardian_brings_back_what_a_killed_run_has_killed(service, project):
    """By the command that the ledger notes, and nothing is left to heal."""
    former = service.pid

    path = killed_while_it_is_down(project, with_its_guardian=False)

    assert is_met_within(lambda: read_ledger(path).is_closed, deadline_s=15, clock=CLOCK)
    assert service.is_listening()
    assert service.pid != former
    assert service.asked == ["stop", "start"]
    assert f"healed command api-1: ran `{sys.executable}" in path.with_name("guardian.log").read_text()
    assert not is_met_within(lambda: not service.is_listening(), deadline_s=0.3, clock=CLOCK), "and it stays"


def test_the_command_brings_back_what_even_the_guardian_did_not(service, project):
    """Where readiness.toml says it, and only that: a ledger may be somebody else's, unpacked and owned by its victim."""
    path = killed_while_it_is_down(project, with_its_guardian=True)
    own = path.read_text()
    path.write_text(own.replace('"start"', '"break"'))
    refused = readiness_heal(project)
    path.write_text(own)
    assert not service.is_listening()

    healed = readiness_heal(project)

    assert refused.returncode == 3
    assert "a command that readiness.toml does not say here, and it was not run" in refused.stderr
    assert "run it yourself: " in refused.stderr
    assert (healed.returncode, healed.stderr) == (0, "")
    assert "killed: healed command api-1: ran `" in healed.stdout
    assert service.is_listening()
    assert read_ledger(path).is_closed
    assert service.asked == ["stop", "start"]


def noted(run, **facts):
    """Return the ledger of a run that asks for a command, and what permits that."""
    run.mkdir()
    ledger = Ledger(run / "ledger.jsonl", "run")
    asked = {"argv": ["/bin/touch", str(run / "done")], "folder": str(run), "within_s": 5.0}
    ledger.note("command", "api-1", **{**asked, **facts})
    return ledger.path, Permission(frozenset({(str(run), *asked["argv"])}))


def refused(path, permission):
    with pytest.raises(FaultError) as told:
        heal(replace(read_ledger(path), is_closed=True), permission)
    return told.value.what


def test_a_command_that_is_permitted_is_run(tmp_path):
    """What the refusals beside this one are measured against."""
    path, permission = noted(tmp_path / "run")

    assert heal(read_ledger(path), permission) == [f"healed command api-1: ran `/bin/touch {tmp_path}/run/done`"]
    assert (tmp_path / "run/done").exists()


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        pytest.param(lambda run: (run / "ledger.jsonl").chmod(0o664), "others may write to", id="its group may write"),
        pytest.param(lambda run: (run / "ledger.jsonl").chmod(0o646), "others may write to", id="all may write"),
        pytest.param(lambda run: run.chmod(0o777), "others may write to", id="all may put another in its place"),
        pytest.param(lambda run: os.link(run / "ledger.jsonl", run / "more"), "has another name", id="linked"),
        pytest.param(lambda run: _as_a_link(run / "ledger.jsonl"), "is a link", id="a link to a file of ours"),
        pytest.param(lambda run: os.chown(run / "ledger.jsonl", 65534, -1), "belongs to another", id="another's"),
        pytest.param(lambda run: os.chown(run, 65534, -1), "belongs to another user", id="in another's folder"),
    ],
)
def test_a_ledger_that_others_could_have_written_runs_nothing(tmp_path, spoil, why):
    """Though readiness.toml says the command: when it is run is not theirs to choose."""
    path, permission = noted(tmp_path / "run")
    try:
        spoil(tmp_path / "run")
    except PermissionError:
        pytest.skip("only root gives files away")

    assert why in why_not_ours(path)
    assert why in refused(path, permission)
    assert not (tmp_path / "run/done").exists()


def _as_a_link(path):
    path.rename(path.with_name("elsewhere"))
    path.symlink_to(path.with_name("elsewhere"))


@pytest.mark.parametrize(
    ("facts", "why"),
    [
        pytest.param({"argv": ["/bin/touch", "/nowhere/done"]}, "does not say here", id="other words"),
        pytest.param({"argv": ["/bin/touch"]}, "does not say here", id="fewer words"),
        pytest.param({"folder": "/"}, "does not say here", id="elsewhere"),
        pytest.param({"argv": "/bin/touch done"}, "notes no command", id="a text for a shell"),
        pytest.param({"argv": []}, "notes no command", id="nothing"),
        pytest.param({"within_s": -1}, "notes no command", id="no time"),
        pytest.param({"within_s": 1e9}, "notes no command", id="for ever"),
    ],
)
def test_what_is_not_that_very_command_is_not_run(tmp_path, facts, why):
    """Not by other words, and not in another folder, where the same words mean something else."""
    path, permission = noted(tmp_path / "run", **facts)

    assert why in refused(path, permission)
    assert not (tmp_path / "run/done").exists()


def test_a_proxy_on_another_machine_is_told_nothing_unless_it_is_named(tmp_path):
    """A ledger would have us send requests to wherever it likes; ours, here, are healed as ever."""
    ledger = Ledger(tmp_path / "ledger.jsonl", "run")
    ledger.note("toxic", "x", edge="e", toxic="t", api_host="192.0.2.1", api_port=8474)

    assert "a fault proxy on another machine, 192.0.2.1" in refused(ledger.path, Permission())


def test_a_ledger_is_written_by_nobody_else_whatever_the_umask(tmp_path):
    """Or a run would find out only when it heals."""
    former = os.umask(0)
    try:
        ledger = Ledger(tmp_path / "ledger.jsonl", "run")
    finally:
        os.umask(former)
    ledger.note("folder", "x", path="/nowhere")

    assert why_not_ours(ledger.path) == ""


def test_readiness_toml_permits_what_undoes_and_nothing_else(service, tmp_path):
    """Not what hurts, nor what asks; and the machines that it names."""
    system = external(service).model_copy(update={"allowed_hosts": ("staging.example",)})

    permission = permitted_by(system, tmp_path)

    where = str(tmp_path.resolve())
    assert permission == Permission(
        frozenset({(where, *service.command("start")), (where, *service.command("resume"))}),
        frozenset({"staging.example"}),
    )


def test_a_ctrl_c_in_the_middle_brings_it_back(service, ledger):
    """The fault is undone on every way out."""
    with pytest.raises(KeyboardInterrupt), injected(KILL, into=stack_of(service), ledger=ledger, clock=CLOCK):
        signal.raise_signal(signal.SIGINT)

    assert service.is_listening()
    assert Path(service.folder / "asked").read_text().split() == ["stop", "start"]
