"""`readiness load` as a pipeline meets it: it judges nothing, and yet a load that was none is not exit 0."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import psutil
import pytest

from harness.clock import SystemClock, is_met_within
from suites.support.httpserver import http_server
from suites.support.servers import PROJECT, free_port

CLOCK = SystemClock()


def command(*arguments):
    return [sys.executable, "-c", "from harness.cli import main; main()", "load", *arguments]


def pressed(*arguments):
    return subprocess.run(command(*arguments), cwd=PROJECT, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize("mode", ["fast", "errors"])
def test_a_load_is_told_in_sentences(mode):
    """What came of every request, in words; a service that answers badly has answered, and is judged elsewhere."""
    with http_server(mode) as server:
        told = pressed(server.base_url, "--rate", "200", "--for", "1s", "--seed", "7")
        read = server.requests()

    failed = read // 5 if mode == "errors" else 0
    assert told.returncode == 0, told.stderr
    assert (
        f"{read} arrivals planned, {read} requests: {read - failed} ok, {failed} failed, 0 unfinished, 0 not sent"
        in told.stdout
    )
    assert "from the intended start" in told.stdout
    assert "LoadTally" not in told.stdout


def test_where_nobody_answers_it_exits_3_and_names_the_address():
    """A refused connection is no load; it could have been any address."""
    address = f"http://127.0.0.1:{free_port()}"
    told = pressed(address, "--rate", "100", "--for", "1s")

    assert told.returncode == 3
    assert "nothing answered: not one of" in told.stderr
    assert f"where: {address}" in told.stderr


def test_a_load_without_a_request_exits_2():
    """Nothing was pressed, so nothing was seen."""
    with http_server("fast") as server:
        told = pressed(server.base_url, "--rate", "0.1", "--for", "10ms")

    assert told.returncode == 2
    assert "inconclusive: not one request was issued" in told.stderr


def test_a_generator_that_was_lost_exits_2():
    """The others went on, and yet it was not the load that was asked for."""
    with http_server("fast") as server:
        arguments = command(server.base_url, "--rate", "100", "--for", "4s", "--workers", "2")
        running = subprocess.Popen(arguments, cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert is_met_within(lambda: server.requests() > 20, deadline_s=20, clock=CLOCK)
        victim = next(
            each for each in psutil.Process(running.pid).children() if "harness.load.generator" in each.cmdline()
        )
        os.kill(victim.pid, signal.SIGKILL)
        told, complaints = running.communicate(timeout=60)

    assert running.returncode == 2, complaints
    assert "inconclusive: generator-" in complaints
    assert "unfinished" in told


TASK_THAT_RAISES = """
from locust import FastHttpUser, task

class Shopper(FastHttpUser):
    @task
    def buy(self):
        self.client.get("/")
        raise KeyError("price")
"""


def test_a_task_that_raises_exits_3(tmp_path):
    """It is the load that is broken; the service answered every request."""
    (tmp_path / "shop.py").write_text(TASK_THAT_RAISES)
    with http_server("fast") as server:
        told = pressed(server.base_url, "--rate", "50", "--for", "1s", "--locustfile", str(tmp_path / "shop.py"))

    assert told.returncode == 3
    assert "exceptions that no request explains; the first: DefaultTaskSet: KeyError: 'price'" in told.stderr


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://127.0.0.1:{port}/health", "an address to be loaded has no path"),
        ("http://127.0.0.1:{port}/?a=b", "an address to be loaded has no path"),
        ("http://me:secret@127.0.0.1:{port}", "an address holds no credentials"),
        ("127.0.0.1:{port}", "this is no address that can be loaded"),
    ],
)
def test_an_address_is_a_scheme_a_host_and_a_port(url, said):
    """What stands behind would be asked by one client and not by the other; a password would be shown."""
    told = pressed(url.format(port=free_port()), "--for", "1s")

    assert told.returncode == 3
    assert said in told.stderr
    assert "secret" not in told.stdout + told.stderr


@pytest.mark.parametrize("client", ["fast", "lean"])
def test_one_slash_behind_an_address_changes_nothing(client):
    """Both clients ask for the same."""
    with http_server("fast") as server:
        told = pressed(f"{server.base_url}/", "--rate", "50", "--for", "1s", "--client", client)

    assert told.returncode == 0, told.stderr


def test_a_load_without_one_good_answer_is_no_success():
    """Nothing but 404: whatever was to be loaded, it was not."""
    with http_server("missing") as server:
        told = pressed(server.base_url, "--rate", "50", "--for", "1s")

    assert told.returncode == 2
    assert "not one request ended well; most often the answer was 404" in told.stderr
