"""Anybody's locustfile, as it is: open arrivals, every request written down, and one clear message if it is broken."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys

import numpy as np
import pytest

from harness.clock import SystemClock, is_met_within
from harness.errors import LoadError
from harness.history.samples import SampleOutcome
from harness.load.engine import LoadPlan, apply_load
from suites.support.httpserver import http_server
from suites.support.items import item_load
from suites.support.servers import PROJECT

CLOCK = SystemClock()

ONE_REQUEST = """
from locust import {user}, between, task

class Visitor({user}):
    wait_time = between(5, 15)

    @task
    def look(self):
        self.client.get("/items/1", name="look")
"""

SEVERAL = """
from locust import FastHttpUser, TaskSet, constant, events, task

@events.init.add_listener
def on_init(environment, **_rest):
    assert environment.host.startswith("http://127.0.0.1")

class Basket(TaskSet):
    wait_time = constant(30)

    @task
    def fill(self):
        self.client.get("/items/1", name="first")
        self.client.get("/items/2", name="second")
        with self.client.get("/items/3", name="disliked", catch_response=True) as response:
            response.failure("not to my liking")
        self.interrupt(reschedule=False)

class Shopper(FastHttpUser):
    tasks = [Basket]

    def on_start(self):
        self.client.get("/login")
"""

TASK = """
from locust import FastHttpUser, task

class Visitor(FastHttpUser):
    @task
    def visit(self):
        {body}
"""


def plan_for(base_url, file, *, per_s=100.0, lasts_s=2.0, **load):
    return LoadPlan(
        base_url=base_url,
        load=item_load(arrivals_per_s=per_s, locustfile=file.name, **load),
        lasts_s=lasts_s,
        seed=7,
        project=str(file.parent),
        calibration_s=0.0,
    )


@pytest.fixture
def written(tmp_path):
    """Write a locustfile, and return where it is."""

    def write(text):
        file = tmp_path / "shop.py"
        file.write_text(text)
        return file

    return write


def press(base_url, file, **plan):
    with apply_load(plan_for(base_url, file, **plan), folder=file.parent, clock=CLOCK) as load:
        return load.finish()


@pytest.mark.parametrize("user", ["HttpUser", "FastHttpUser"])
def test_an_unmodified_user_comes_when_the_schedule_says(written, user):
    """Its wait of five to fifteen seconds is none of its business here: a hundred a second come, from 20 seats."""
    with http_server("fast") as server:
        result = press(server.base_url, written(ONE_REQUEST.format(user=user)), max_in_flight=20)
        read = server.requests()

    samples = result.samples
    assert result.tally.planned == result.tally.issued == result.tally.ok == len(samples) == read > 150
    assert len(samples.of("look")) == len(samples)
    assert set(samples.records["status"]) == {200}
    assert samples.came_from("l1").all()
    assert result.tally.client_errors == 0


def test_every_request_of_a_task_is_written_down(written):
    """Three a task: one arrival and two that follow; what is caught and disliked has failed; logins are no load."""
    with http_server("fast") as server:
        result = press(server.base_url, written(SEVERAL), per_s=50.0, max_in_flight=10)
        read = server.requests()

    tally, samples = result.tally, result.samples
    assert tally.is_whole
    assert tally.issued == 3 * tally.planned > 150
    assert [len(samples.of(name)) for name in ("first", "second", "disliked")] == [tally.planned] * 3
    assert tally.failed == len(samples.of("disliked"))
    assert samples.of("disliked").has_outcome(SampleOutcome.FAILED).all()
    assert read == tally.issued + 10


NESTED = """
        with self.client.get("/slow", name="outer", catch_response=True) as response:
            self.client.get("/items/1", name="inner")
            response.success()
"""


@pytest.mark.parametrize("user", ["HttpUser", "FastHttpUser"])
def test_a_request_inside_another_takes_nothing_from_it(written, user):
    """The inner one is told first; the outer one was slow, came with the arrival, and both are seen."""
    text = TASK.format(body=NESTED.strip()).replace("FastHttpUser", user)
    with http_server("fast") as server:
        result = press(server.base_url, written(text), per_s=40.0)

    outer, inner = (result.samples.of(name).records["latency_s"] for name in ("outer", "inner"))
    assert len(outer) == len(inner) == result.tally.planned > 50
    assert outer.min() >= 0.1
    assert np.median(inner) < 0.05


def test_what_a_locustfile_prints_is_no_news_of_the_generator(written):
    """It goes to the log; the line to the parent is the generator's own."""
    with http_server("fast") as server:
        result = press(server.base_url, written(TASK.format(body='print("hello"); self.client.get("/items/1")')))

    assert result.tally.ok == result.tally.planned > 150


@pytest.mark.parametrize("user", ["HttpUser", "FastHttpUser"])
def test_no_load_follows_a_redirect_to_another_machine(written, user):
    """Whoever is there did not ask for it; each is a failure, at once, and none takes as long as trying would."""
    with http_server("moved") as server:
        result = press(server.base_url, written(ONE_REQUEST.format(user=user)), per_s=20.0)

    assert result.tally.failed == result.tally.issued == result.tally.planned > 20
    assert result.samples.records["latency_s"].max() < 1.0


def test_a_wait_for_a_seat_counts_in_the_first_request_only(written):
    """Two seats of 3 x 10 ms serve 66 of 150 a second: the first request of a task waited long, the others did not."""
    with http_server("late") as server:
        samples = press(server.base_url, written(SEVERAL), per_s=150.0, max_in_flight=2, drain="10s").samples

    first, second = (np.median(samples.of(name).records["latency_s"]) for name in ("first", "second"))
    assert first > 0.3
    assert second < 0.2


@pytest.mark.parametrize(
    ("body", "client_errors"),
    [
        pytest.param("pass", 0, id="asks for nothing"),
        pytest.param("raise KeyError('basket')", 1, id="raises before it asks"),
    ],
)
def test_a_task_that_asks_for_nothing_is_a_failed_arrival(written, body, client_errors):
    """It proves nothing; and what it raised is the generator's error, never the service's."""
    with http_server("fast") as server:
        result = press(server.base_url, written(TASK.format(body=body)), lasts_s=1.0)

    assert result.tally.failed == result.tally.issued == len(result.samples.of("(no request)")) > 50
    assert result.tally.client_errors == client_errors * result.tally.issued
    assert ("KeyError" in (result.tally.client_error or "")) is bool(client_errors)


@pytest.mark.parametrize("user", ["HttpUser", "FastHttpUser"])
def test_requests_of_a_server_that_hangs_are_unfinished(written, user):
    """Whatever client the users have, they are seen in flight at the end, and have waited."""
    with http_server("fast") as server:
        plan = plan_for(server.base_url, written(ONE_REQUEST.format(user=user)), lasts_s=2.0, drain="500ms")
        with apply_load(plan, folder=plan.locustfile.parent, clock=CLOCK) as load:
            assert is_met_within(lambda: CLOCK.now() > load.begins_s + 1.0, deadline_s=5, clock=CLOCK)
            server.process.send_signal(signal.SIGSTOP)
            result = load.finish()

    hung = result.samples.records[result.samples.has_outcome(SampleOutcome.UNFINISHED)]
    assert 0.25 < len(hung) / len(result.samples) < 0.75
    assert (hung["latency_s"] >= 0.5).all()


def test_a_silent_server_meets_a_time_out(written):
    """Locust's own HttpUser would wait for ever; five seconds of silence are a failure here."""
    with http_server("silent") as server:
        file = written(ONE_REQUEST.format(user="HttpUser"))
        tally = press(server.base_url, file, per_s=20.0, lasts_s=1.0, drain="7s").tally

    assert tally.failed == tally.issued > 5


BROKEN = [
    pytest.param(
        "import locust\nimport nothing_of_that_name\n",
        r"does not import: ModuleNotFoundError: .*\n  where: .*shop.py:2\n",
        id="import",
    ),
    pytest.param("\n\nclass Shop(:\n", r"does not import: SyntaxError: .*\n  where: .*shop.py:3\n", id="syntax"),
    pytest.param("raise SystemExit('no')", r"does not import: SystemExit: no\n  where: .*shop.py:1\n", id="exit"),
    pytest.param("from locust import HttpUser\n", r"holds no user\n  where: .*shop.py\n", id="nobody"),
    pytest.param(
        TASK.format(body="pass") + "    def on_start(self):\n        raise ValueError('no ticket')\n",
        "a user did not start: Visitor: ValueError: no ticket",
        id="on_start",
    ),
]


@pytest.mark.parametrize(("text", "said"), BROKEN)
def test_a_broken_locustfile_is_one_clear_message(written, text, said):
    """It names the file and the line; nothing was pressed."""
    with http_server("fast") as server:
        with pytest.raises(LoadError, match=said):
            press(server.base_url, written(text))
        read = server.requests()

    assert read == 0


def test_on_the_command_line_a_broken_locustfile_exits_3(written):
    """And a sound one 0, with its account."""
    with http_server("fast") as server:
        broken = readiness("load", server.base_url, "--for", "1s", "--locustfile", str(written("import nothing_here")))
        missing = readiness("load", server.base_url, "--for", "1s", "--locustfile", "/nowhere/shop.py")
        sound = written(ONE_REQUEST.format(user="FastHttpUser"))
        worked = readiness("load", server.base_url, "--for", "1s", "--rate", "50", "--locustfile", str(sound))

    assert (broken.returncode, missing.returncode, worked.returncode) == (3, 3, 0), worked.stderr
    assert "error: the locustfile does not import: ModuleNotFoundError" in broken.stderr
    assert "error: the locustfile is not there" in missing.stderr
    assert "Traceback" not in broken.stderr + missing.stderr
    assert " 0 failed," in worked.stdout


def readiness(*arguments):
    command = [sys.executable, "-c", "from harness.cli import main; main()", *arguments]
    return subprocess.run(
        command, cwd=PROJECT, capture_output=True, text=True, check=False, timeout=60, env=dict(os.environ)
    )


MANY_NAMES = """
from itertools import count
from locust import FastHttpUser, task

numbers = count()

class Visitor(FastHttpUser):
    @task
    def visit(self):
        number = next(numbers)
        self.client.get("/items/1", name=f"item {number}" if number < 300 else "checkout")
"""


def test_a_name_that_is_promised_of_is_told_apart_however_many_there_were_before(written):
    """Three hundred others came first, one for each id: some of those have no name here, and that is said."""
    with http_server("fast") as server:
        plan = plan_for(server.base_url, written(MANY_NAMES), per_s=400.0, lasts_s=1.2, max_in_flight=10)
        wanted = dataclasses.replace(plan, told_apart={"operations": ("checkout",)})
        with apply_load(wanted, folder=plan.locustfile.parent, clock=CLOCK) as load:
            samples = load.finish().samples
        with apply_load(plan, folder=plan.locustfile.parent, clock=CLOCK) as load:
            without = load.finish().samples

    promised = len(samples.of("checkout"))
    assert promised == len(samples) - 300 > 50
    assert len(without.of("checkout")) == 0
    assert samples.nameless() == "47 requests have none of the first 255 names, and are nameless here"
    assert without.nameless().startswith(f"{46 + promised} requests have none")
