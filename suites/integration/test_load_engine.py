"""The load generator accounts for everything, believes no silence, and is never mistaken for one that lived."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import signal
import subprocess
import sys

import numpy as np
import psutil
import pytest

from harness.clock import SystemClock, is_met_within
from harness.errors import LoadError
from harness.faults.guardian import guarded
from harness.faults.ledger import Ledger
from harness.history.samples import SampleOutcome
from harness.layout import GUARDIAN_LOG
from harness.load.engine import SILENT_FOR_S, LoadPlan, apply_load
from harness.load.recording import read_raw
from harness.stack.backends.process import is_gone
from suites.support.httpserver import http_server
from suites.support.items import item_load
from suites.support.servers import PROJECT, free_port

CLOCK = SystemClock()


def plan_for(base_url, *, per_s=200.0, lasts_s=1.0, **load):
    return LoadPlan(
        base_url=base_url, load=item_load(arrivals_per_s=per_s, **load), lasts_s=lasts_s, seed=7, calibration_s=0.0
    )


def press(base_url, folder, **plan):
    with apply_load(plan_for(base_url, **plan), folder=folder, clock=CLOCK) as load:
        return load.finish()


@pytest.fixture(params=["fast", "lean"])
def client(request):
    """Each kind of user."""
    return request.param


def test_modules_of_the_callers_folder_are_not_taken_for_ours(tmp_path, monkeypatch):
    """A project may have a `secrets.py`; the generator, the guardian and the fault proxy import what they mean."""
    for name in ("locust", "secrets", "queue", "redis", "asyncio", "json"):
        (tmp_path / f"{name}.py").write_text("raise RuntimeError('this is the project's')")
    monkeypatch.chdir(tmp_path)
    ledger = Ledger(tmp_path / "ledger.jsonl", "shadowed")

    with http_server("fast") as server, guarded(ledger.path):
        result = press(server.base_url, tmp_path)
        ledger.close()
    said = subprocess.run(
        [sys.executable, "-P", "-c", "from harness.cli import main; main(['faultproxy', '-version'])"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert result.tally.ok == result.tally.issued > 0
    assert (tmp_path / GUARDIAN_LOG).read_text() == ""
    assert said.returncode == 0, said.stderr


@pytest.mark.parametrize("mode", ["fast", "errors", "closes", "silent", "drops"])
def test_every_request_is_accounted_for(tmp_path, mode, client):
    """In the tally, in the samples, and in the server's own count."""
    with http_server(mode) as server:
        result = press(server.base_url, tmp_path, drain="1s", max_in_flight=1000, client=client)
        read = server.requests()

    tally = result.tally
    assert tally.is_whole
    assert tally.planned == tally.issued == len(result.samples) == tally.ok + tally.failed + tally.unfinished
    assert read == tally.issued
    by_outcome = [int(result.samples.has_outcome(outcome).sum()) for outcome in SampleOutcome]
    assert by_outcome == [tally.ok, tally.failed, tally.unfinished, tally.not_sent, tally.cancelled, tally.prevented]
    expected = {"silent": 0, "errors": tally.issued - tally.issued // 5}
    assert tally.ok == expected.get(mode, tally.issued)


def test_an_answer_that_breaks_off_is_a_failure_with_its_status(tmp_path, client):
    """The 200 was said before the body broke; a client has nothing from it."""
    with http_server("breaks") as server:
        result = press(server.base_url, tmp_path, lasts_s=1.0, client=client)

    assert result.tally.failed == result.tally.issued > 100
    assert set(result.samples.records["status"]) == {200}


def test_a_version_that_is_no_number_is_none(tmp_path, client):
    """An answer that says nonsense is still an answer, and is written down as it came."""
    with http_server("odd") as server:
        result = press(server.base_url, tmp_path, lasts_s=1.0, client=client)

    assert result.tally.ok == result.tally.issued > 100
    assert set(result.samples.records["version"]) == {-1}


def test_interim_answers_are_passed_over(tmp_path, client):
    """The answer is the one after them: with its own headers, for its own request, on a connection that stays."""
    with http_server("hints") as server:
        result = press(server.base_url, tmp_path, max_in_flight=5, client=client)
        read, opened = server.requests(), server.connections()

    assert result.tally.ok == result.tally.issued == read > 100
    assert set(result.samples.records["status"]) == {200}
    assert result.samples.came_from("l1").all()
    assert opened <= 7


def test_connections_are_kept(tmp_path, client):
    """Five seats need five connections for hundreds of requests."""
    with http_server("fast") as server:
        tally = press(server.base_url, tmp_path, max_in_flight=5, lasts_s=2.0, client=client).tally
        opened = server.connections()

    assert tally.ok == tally.issued > 300
    assert opened <= 6


def test_the_lean_user_holds_more_in_flight_than_select_can(tmp_path):
    """1500 requests at a time, each on a connection of its own, beyond the 1024 descriptors of select()."""
    with http_server("silent") as server:
        tally = press(
            server.base_url, tmp_path, per_s=1500.0, lasts_s=1.2, max_in_flight=1500, drain="3s", client="lean"
        ).tally
        # A busy server reads the last of them after its client has gone: what was sent is there to be read.
        is_met_within(lambda: server.requests() >= 1500, deadline_s=10, clock=CLOCK)
        read = server.requests()

    assert tally.unfinished == 1500 == read
    assert tally.failed == 0


def test_a_service_that_drowns_to_the_end_is_accounted_for(tmp_path):
    """Answers come and requests are taken until the very end of the drain: none is between two stools then."""
    with http_server("late") as server:
        # 60 seats of 10 ms each serve less than 6000/s
        tally = press(server.base_url, tmp_path, per_s=9000.0, lasts_s=1.0, max_in_flight=60, drain="200ms").tally
        # A busy server reads the last of them after its client has gone: what was sent is there to be read.
        is_met_within(lambda: server.requests() >= tally.ok + tally.unfinished, deadline_s=10, clock=CLOCK)
        read = server.requests()

    assert tally.is_whole
    assert tally.not_sent > 100
    assert read == tally.ok + tally.unfinished


def test_a_sample_says_what_its_answer_said(tmp_path, client):
    """Source, replica, version, status, key, operation."""
    with http_server("fast") as server:
        samples = press(server.base_url, tmp_path, client=client).samples

    assert samples.came_from("l1").all()
    assert set(samples.records["version"]) == {3}
    assert set(samples.records["status"]) == {200}
    assert samples.replicas[samples.records["replica"][0]] == "only"
    assert 0.05 < len(samples.of("write")) / len(samples) < 0.15
    assert (np.diff(samples.records["intended_s"]) >= 0).all()


def test_the_same_seed_asks_for_the_same(tmp_path):
    """Arrivals, keys and mix can be repeated; what came back cannot."""
    with http_server("fast") as server:
        first, second = (press(server.base_url, tmp_path, lasts_s=0.5).samples.records for _ in range(2))

    assert all((first[column] == second[column]).all() for column in ("intended_s", "key", "operation"))


def test_a_server_that_hangs_to_the_end_is_not_fast(tmp_path):
    """Requests in flight when all is over are unfinished, have waited, and are counted."""
    with http_server("fast") as server:
        with apply_load(plan_for(server.base_url, lasts_s=3.0, drain="1s"), folder=tmp_path, clock=CLOCK) as load:
            assert is_met_within(lambda: CLOCK.now() > load.begins_s + 1.5, deadline_s=5, clock=CLOCK)
            server.process.send_signal(signal.SIGSTOP)
            result = load.finish()

    hung = result.samples.records[result.samples.has_outcome(SampleOutcome.UNFINISHED)]
    assert 0.3 < len(hung) / len(result.samples) < 0.6
    assert (hung["latency_s"] >= 1.0).all()
    assert (
        result.tally.ok + result.tally.unfinished + result.tally.not_sent + result.tally.failed == result.tally.issued
    )


def test_more_than_may_be_in_flight_waits_and_is_never_forgotten(tmp_path):
    """Five seats before a silent server: the others were never sent, and say so."""
    with http_server("silent") as server:
        result = press(server.base_url, tmp_path, max_in_flight=5, drain="500ms", lasts_s=1.0)

    assert result.tally.unfinished == 5
    assert result.tally.not_sent == result.tally.issued - 5
    assert np.isnan(result.samples.records["sent_s"][result.samples.has_outcome(SampleOutcome.NOT_SENT)]).all()


def test_a_silent_server_meets_a_time_out(tmp_path, client):
    """Half a second of silence is a failure here, in mid-run."""
    with http_server("silent") as server:
        plan = dataclasses.replace(plan_for(server.base_url, client=client, drain="5s"), answer_within_s=0.5)
        with apply_load(plan, folder=tmp_path, clock=CLOCK) as load:
            result = load.finish()

    assert result.tally.failed == result.tally.issued > 100
    waited_s = result.samples.records["latency_s"]
    assert np.quantile(waited_s, 0.05) > 0.45
    assert np.quantile(waited_s, 0.5) < 2.0


def test_a_generator_that_stands_still_says_that_it_did(tmp_path):
    """Stopped for 1.5 s: its own lag is long, its requests are overdue, a heartbeat is missing; the service answered all along."""
    with http_server("fast") as server:
        with apply_load(plan_for(server.base_url, lasts_s=4.0), folder=tmp_path, clock=CLOCK) as load:
            assert is_met_within(lambda: CLOCK.now() > load.begins_s + 1.2, deadline_s=5, clock=CLOCK)
            os.kill(load.pid, signal.SIGSTOP)
            assert is_met_within(lambda: CLOCK.now() > load.begins_s + 2.7, deadline_s=5, clock=CLOCK)
            os.kill(load.pid, signal.SIGCONT)
            result = load.finish()

    moments_s = [0.0, *(beat.at_s for beat in result.heartbeats)]
    assert max(np.diff(moments_s)) > 1.4
    assert result.tally.lag_p99_s > 1.0
    assert 200 < sum(beat.overdue for beat in result.heartbeats) < 400
    assert result.tally.wait_p99_s < 0.5


def test_waiting_for_a_slow_service_is_not_the_generators_lag(tmp_path):
    """Five seats of 10 ms each serve 500/s of 900/s: requests wait long for a seat, and start at once when they get it."""
    with http_server("late") as server:
        tally = press(server.base_url, tmp_path, per_s=900.0, lasts_s=2.0, max_in_flight=5).tally

    assert tally.wait_p99_s > 0.3
    assert tally.lag_p99_s < tally.wait_p99_s / 5  # told apart; how late it is by itself is the machine's business


def test_heartbeats_reach_the_end_and_count_what_was_planned(tmp_path):
    """Together they hold every request of the schedule; none is missing, the last piece of a second included."""
    with http_server("fast") as server:
        result = press(server.base_url, tmp_path, lasts_s=2.5)

    assert result.heartbeats[-1].at_s >= 2.5
    assert sum(beat.overdue for beat in result.heartbeats) < 0.1 * result.tally.issued
    assert sum(beat.planned for beat in result.heartbeats) == result.tally.planned
    assert sum(beat.issued for beat in result.heartbeats) == result.tally.issued


def test_what_the_generator_adds_by_itself_is_measured_before_it_is_ready(tmp_path):
    """Against a server that does nothing, not against the judged one, whose count stays the run's own."""
    with http_server("fast") as server:
        plan = dataclasses.replace(plan_for(server.base_url), calibration_s=0.5)
        with apply_load(plan, folder=tmp_path, clock=CLOCK) as load:
            result = load.finish()
        read = server.requests()

    assert 0.00005 < load.overhead_p95_s == result.tally.overhead_p95_s < 0.2
    assert read == result.tally.issued
    assert result.tally.client_errors == 0


DEAF = """
import locust
from contextlib import contextmanager
import sys
from pathlib import Path
from harness.load.generator import __main__ as child

@contextmanager
def nobody():
    yield int(sys.argv[2])

child.null_server = nobody
child.main(Path(sys.argv[1]))
"""


def test_a_calibration_that_fails_says_what_to_do(tmp_path):
    """A server that does nothing did not even answer: told as every other error is, with where and how to fix it."""
    plan = dataclasses.replace(plan_for("http://127.0.0.1:9"), calibration_s=0.2)
    command = [sys.executable, "-c", DEAF, str(tmp_path), str(free_port())]
    told = subprocess.run(
        command, cwd=PROJECT, input=plan.to_json() + "\n", capture_output=True, text=True, check=False, timeout=60
    )

    assert told.returncode == 1
    refused = json.loads(told.stdout)["refused"]
    assert re.match("a server that does nothing answered 0 of [0-9]+ requests", refused["what"])
    assert "run on a quieter one" in refused["fix"]


def test_no_requests_are_an_honest_zero(tmp_path):
    """A load that ends before anybody comes."""
    with http_server("fast") as server:
        tally = press(server.base_url, tmp_path, per_s=0.1, lasts_s=0.01).tally

    assert (tally.planned, tally.issued, tally.is_whole) == (0, 0, True)


def test_a_refusing_target_fails_every_request(tmp_path, client):
    """Nobody listens: all failed, none forgotten."""
    with http_server("fast") as server:
        base_url = server.base_url

    tally = press(base_url, tmp_path, lasts_s=1.0, client=client).tally

    assert tally.failed == tally.issued > 100


def test_a_generator_that_is_killed_is_an_error_and_leaves_what_it_saw(tmp_path):
    """The end of its output without a tally is the end of the experiment."""
    with http_server("fast") as server:
        with pytest.raises(LoadError, match=r"the load generator died \(exit -9\)"):
            with apply_load(plan_for(server.base_url, lasts_s=30.0), folder=tmp_path, clock=CLOCK) as load:
                assert is_met_within(load.beats, deadline_s=10, clock=CLOCK)
                os.kill(load.pid, signal.SIGKILL)
                load.finish()

    assert len(read_raw(tmp_path)) > 50


def test_check_notices_a_dead_generator(tmp_path):
    """In mid-run, without waiting for the end."""
    with http_server("fast") as server:
        with apply_load(plan_for(server.base_url, lasts_s=30.0), folder=tmp_path, clock=CLOCK) as load:
            load.check()
            os.kill(load.pid, signal.SIGKILL)
            psutil.Process(load.pid).wait(5)
            with pytest.raises(LoadError, match="died"):
                load.check()


def test_check_notices_a_generator_that_fell_silent(tmp_path):
    """It lives, and is stopped: after three heartbeats that did not come it is as good as dead."""

    def noticed():
        try:
            load.check()
        except LoadError as error:
            return error.what
        return ""

    with http_server("fast") as server:
        with apply_load(plan_for(server.base_url, lasts_s=30.0), folder=tmp_path, clock=CLOCK) as load:
            assert is_met_within(load.beats, deadline_s=10, clock=CLOCK)
            stopped_s = CLOCK.now()
            os.kill(load.pid, signal.SIGSTOP)
            assert is_met_within(noticed, deadline_s=SILENT_FOR_S + 2, clock=CLOCK)
            assert noticed() == "the load generator said nothing for 3 s"
            assert CLOCK.now() - stopped_s > SILENT_FOR_S - 1.25


def test_the_generator_is_gone_afterwards(tmp_path):
    """Also when what is inside breaks off."""
    with http_server("fast") as server:
        with pytest.raises(KeyboardInterrupt):
            with apply_load(plan_for(server.base_url, lasts_s=30.0), folder=tmp_path, clock=CLOCK) as load:
                child = psutil.Process(load.pid)
                raise KeyboardInterrupt

    assert is_gone(child)


HOLD = """
import sys, time
from pathlib import Path
from harness.clock import SystemClock
from harness.load.engine import LoadPlan, apply_load
from harness.spec.load import Load
plan = LoadPlan(base_url=sys.argv[1], load=Load(arrivals_per_s=50), lasts_s=60, seed=1)
with apply_load(plan, folder=Path(sys.argv[2]), clock=SystemClock()) as load:
    print(load.pid, flush=True)
    time.sleep(60)
"""


def test_the_generator_dies_with_its_parent(tmp_path):
    """Its input ends; nobody presses on for a run that is dead."""
    with http_server("fast") as server:
        arguments = [sys.executable, "-c", HOLD, server.base_url, str(tmp_path)]
        holder = subprocess.Popen(arguments, cwd=PROJECT, stdout=subprocess.PIPE)
        child = psutil.Process(int(holder.stdout.readline()))
        holder.kill()
        holder.communicate()

        assert is_met_within(lambda: is_gone(child), deadline_s=5, clock=CLOCK)


@pytest.mark.parametrize(
    ("base_url", "said"),
    [
        ("http://example.com", "on another machine"),
        ("http://127.0.0.1@example.com", "no credentials"),
        ("ftp://127.0.0.1", "no address"),
        ("127.0.0.1:80", "no address"),
        ("http://127.0.0.1:eighty", "no address"),
    ],
)
def test_only_our_own_machine_is_pressed(tmp_path, base_url, said):
    """Before anything is started."""
    with pytest.raises(LoadError, match=said):
        press(base_url, tmp_path)


def test_the_parent_never_meets_locust():
    """Importing it patches the sockets of whoever does."""
    code = "import harness.cli, sys; print([name for name in ('locust', 'gevent') if name in sys.modules])"

    said = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True)

    assert said.stdout == "[]\n"


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="only root may, on Linux")
def test_the_generator_is_never_made_to_wait_and_its_control_is(tmp_path):
    """The instrument runs in real time; the servers that do nothing, or compute, feel what the judged service feels."""
    plan = dataclasses.replace(plan_for("http://127.0.0.1:9", lasts_s=0.5), calibration_s=0.2)
    pids = []

    with apply_load(plan, folder=tmp_path, clock=CLOCK, on_spawn=pids.append) as load:
        controls = psutil.Process(pids[0]).children()
        policies = os.sched_getscheduler(pids[0]), *(os.sched_getscheduler(control.pid) for control in controls)
        load.finish()

    assert policies == (os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.SCHED_OTHER, os.SCHED_OTHER)
