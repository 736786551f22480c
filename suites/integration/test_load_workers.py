"""Workers of other machines, here as processes of their own that know no more than an address and a token."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import psutil
import pytest

from harness.clock import SystemClock, is_met_within
from harness.errors import LoadError
from harness.history.samples import SampleOutcome
from harness.load.arrivals import schedule_of
from harness.load.master import Rendezvous, apply_load_with_workers
from harness.load.plan import LoadPlan
from harness.load.worker import press_for
from harness.stack.backends.process import is_gone
from harness.stack.ports import reserve
from suites.support.httpserver import http_server
from suites.support.items import item_load
from suites.support.servers import PROJECT

CLOCK = SystemClock()
TOKEN = "0123456789abcdef"  # noqa: S105 - of this test


def plan_for(base_url, *, lasts_s, **changes):
    load = item_load(arrivals_per_s=200, max_in_flight=21)
    return LoadPlan(base_url=base_url, load=load, lasts_s=lasts_s, seed=7, calibration_s=0.0, **changes)


@contextmanager
def workers(count, port, token=TOKEN):
    """Start workers as somebody on another machine would; one that is killed cannot clear up what was temporary."""
    command = [sys.executable, "-c", "from harness.cli import main; main()", "worker", "--master-port", str(port)]
    with tempfile.TemporaryDirectory(prefix="workers-") as place:
        environment = {
            **os.environ, "PYTHONPATH": str(PROJECT), "READINESS_WORKER_TOKEN": token, "TMPDIR": place,
        }  # fmt: skip
        running = [
            subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            for _ in range(count)
        ]
        try:
            yield running
        finally:
            for each in running:
                each.kill()
                each.communicate()


def rendezvous(port, *, count=2, within_s=20.0, host="127.0.0.1"):
    return Rendezvous(host=host, port=port, token=TOKEN, workers=count, within_s=within_s)


@pytest.fixture
def port():
    return reserve().port


def test_two_workers_are_one_schedule(tmp_path, port):
    """Each arrival once, in time by the master's clock; both are let go, and end well."""
    said: list[str] = []
    with http_server("fast") as server, workers(2, port) as running:
        plan = plan_for(server.base_url, lasts_s=3.0)
        with apply_load_with_workers(plan, rendezvous(port), folder=tmp_path, clock=CLOCK, say=said.append) as group:
            result = group.finish()
        ends = [each.wait(30) for each in running]
        words = [each.stdout.read() for each in running]
        read = server.requests()

    whole = schedule_of(plan.load, lasts_s=3.0, seed=7)
    assert (result.samples.records["intended_s"] == whole.intended_s).all()
    assert result.tally.ok == result.tally.planned == read == len(whole)
    assert ends == [0, 0]
    assert sorted(re.search(r"part (\d) of 2", each)[1] for each in words) == ["1", "2"]
    assert sum("its clock is known to" in each for each in said) == 2
    assert abs((result.samples.records["sent_s"] - result.samples.records["intended_s"]).mean()) < 0.05
    assert {beat.p95_s is not None for beat in result.heartbeats[:2]} == {True}


def test_the_other_takes_over_from_a_worker_that_dies(tmp_path, port):
    """What it had recorded came home before; its generator dies with it."""
    with http_server("fast") as server, workers(2, port) as running:
        plan = plan_for(server.base_url, lasts_s=8.0)
        with apply_load_with_workers(plan, rendezvous(port), folder=tmp_path, clock=CLOCK, say=lambda _: None) as group:
            until_s = group.begins_s + 3.3
            assert is_met_within(lambda: CLOCK.now() > until_s, deadline_s=20, clock=CLOCK)
            victim = running[0]
            generators = psutil.Process(victim.pid).children(recursive=True)
            victim.send_signal(signal.SIGKILL)
            result = group.finish()
            assert is_met_within(lambda: all(map(is_gone, generators)), deadline_s=10, clock=CLOCK)

    whole = schedule_of(plan.load, lasts_s=8.0, seed=7)
    lost_s = result.samples.records["intended_s"][result.samples.has_outcome(SampleOutcome.UNFINISHED)]
    assert len(result.losses) == 1
    assert generators
    assert (result.samples.records["intended_s"] == whole.intended_s).all()
    assert result.tally.is_whole
    assert lost_s.min() > 1.0
    assert lost_s.max() < 3.3 + 2.5
    assert result.samples.between(6.0, 8.0).has_outcome(SampleOutcome.OK).all()


def test_a_stranger_is_sent_away(tmp_path, port):
    """Who does not know the token presses nothing, and is told why; the master goes on waiting."""
    with http_server("fast") as server, workers(1, port, token="guessed") as running:  # noqa: S106 - of this test
        with pytest.raises(LoadError, match=r"0 of 1 workers came within 5 s"):
            with apply_load_with_workers(
                plan_for(server.base_url, lasts_s=1.0), rendezvous(port, count=1, within_s=5.0), folder=tmp_path,
                clock=CLOCK, say=lambda _: None,
            ):  # fmt: skip
                pass
        assert running[0].wait(30) == 3
        assert "the master refused us: the token is not ours" in running[0].stdout.read()
        assert server.requests() == 0


@pytest.mark.parametrize(
    "words", [b"GET / HTTP/1.1\r\n\r\n", b"5\n", b"\xff\xfe\n", '{"hello": "gu\u00e9"}\n'.encode()]
)
def test_who_does_not_speak_as_a_worker_does_is_no_trouble(tmp_path, port, words):
    """A probe of the port, a scanner, a token in other letters: the worker who comes next is taken."""
    with http_server("fast") as server, workers(1, port), socket_to(port, words):
        plan = plan_for(server.base_url, lasts_s=1.0)
        with apply_load_with_workers(
            plan, rendezvous(port, count=1), folder=tmp_path, clock=CLOCK, say=lambda _: None
        ) as group:
            result = group.finish()

    assert result.tally.ok == result.tally.planned > 0


@contextmanager
def socket_to(port, words):
    """Say something to whoever will listen there, as soon as somebody does, and hang up at the end."""
    with ThreadPoolExecutor(1) as pool, ExitStack() as stack:
        pool.submit(_say_to, port, words, stack)
        yield


def _say_to(port, words, stack):
    def is_said():
        try:
            stack.enter_context(socket.create_connection(("127.0.0.1", port))).sendall(words)
        except ConnectionRefusedError:
            return False
        return True

    is_met_within(is_said, deadline_s=10, clock=CLOCK)


def test_a_worker_does_not_wait_for_one_who_is_no_master(port):
    """Such as another server on that port, which greets in its own words."""
    with socket.create_server(("127.0.0.1", port)) as server, workers(1, port) as running:
        connection, _ = server.accept()
        with connection:
            connection.sendall(b"SSH-2.0-OpenSSH_9.9\r\n")
            assert running[0].wait(20) == 3
        said = running[0].stdout.read()

    assert "what answers there is no master" in said
    assert "Traceback" not in said


def test_other_machines_are_let_in_only_if_asked_for(tmp_path, port):
    """By default nobody out there can reach us."""
    with pytest.raises(LoadError, match="workers of other machines could reach us"):
        with apply_load_with_workers(
            plan_for("http://127.0.0.1:9", lasts_s=1.0), rendezvous(port, host="0.0.0.0"), folder=tmp_path, clock=CLOCK,  # noqa: S104 - it must be refused
            say=lambda _: None,
        ):  # fmt: skip
            pass


def test_a_master_that_is_not_there_is_named(tmp_path, port):
    """After trying for a while."""
    with pytest.raises(LoadError, match=r"no master answered within 0\.5 s"):
        press_for(
            "127.0.0.1", port, token=TOKEN, within_s=0.5, project=tmp_path, clock=CLOCK, say=lambda _: None
        )  # fmt: skip
