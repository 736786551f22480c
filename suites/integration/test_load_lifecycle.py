"""What a locustfile does before and after the load: it is given time, its failures are heard, and none of it is load."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest

from harness.clock import FakeClock, SystemClock
from harness.errors import LoadError
from harness.load.engine import READY_WITHIN_S, LoadPlan, LoadRun, apply_load
from harness.spec.load import Load
from suites.support.httpserver import http_server
from suites.support.servers import PROJECT

CLOCK = SystemClock()


def plan_for(base_url, folder, text, *, per_s=50.0, lasts_s=0.5, variables=(), **load):
    (folder / "shop.py").write_text(text)
    told = {"arrivals_per_s": per_s, "locustfile": "shop.py", "max_in_flight": 20, **load}
    return LoadPlan(
        base_url=base_url, load=Load.model_validate(told), lasts_s=lasts_s, seed=7, project=str(folder),
        calibration_s=0.0, variables=variables,
    )  # fmt: skip


def pressed(folder, text, *, mode="fast", **plan):
    """Press with a locustfile; return what came of it, and all that the server heard, as text."""
    with http_server(mode) as server:
        with apply_load(plan_for(server.base_url, folder, text, **plan), folder=folder, clock=CLOCK) as load:
            result = load.finish()
        return result, b"".join(server.heard()).decode()


VISITOR = """
import gevent, time
from locust import FastHttpUser, HttpUser, events, task
from locust.exception import StopUser

class Visitor(FastHttpUser):
    fixed_count = {count}

    def on_start(self):
        {begins}

    def on_stop(self):
        {ends}

    @task
    def look(self):
        {looks}
"""


def visitor(*, begins="pass", ends="pass", looks="self.client.get('/items/1')", count=0, more=""):
    return VISITOR.format(begins=begins, ends=ends, looks=looks, count=count) + more


OPTIONS = """
@events.init_command_line_parser.add_listener
def more(parser):
    parser.add_argument("--tenant", default="blue")
    parser.add_argument("--colour", env_var="SHOP_COLOUR", default="none")
"""


def test_options_that_a_file_adds_have_their_defaults_or_their_variables(tmp_path, monkeypatch):
    """As on Locust's command line; and Locust's own are there as well."""
    monkeypatch.setenv("SHOP_COLOUR", "red")
    monkeypatch.setenv("LOCUST_TAGS", "nobody named this")
    looks = "told = self.environment.parsed_options; self.client.get(f'/{told.tenant}/{told.colour}/{told.tags}')"
    result, heard = pressed(tmp_path, visitor(looks=looks, more=OPTIONS), variables=("SHOP_COLOUR",))

    assert result.tally.ok == result.tally.issued == heard.count("GET /blue/red/None ") > 10


REQUIRED = """
@events.init_command_line_parser.add_listener
def more(parser):
    parser.add_argument("--tenant", required=True)
"""


REFUSED = [
    pytest.param(visitor(more=REQUIRED), r"own options: .*--tenant", id="an option that must be given"),
    pytest.param(
        visitor(begins="raise StopUser"), "a user did not start: Visitor: StopUser in on_start", id="it stops itself"
    ),
    pytest.param(visitor(more="    def __init__(self, environment): 1 / 0"), "20 of 20 users ended", id="it is none"),
    pytest.param(
        visitor(more="\n@events.test_start.add_listener\ndef begin(**_): 1 / 0"), "a listener of the locustfile raised",
        id="a listener that raises",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("text", "said"), REFUSED)
def test_users_that_do_not_come_are_missed_at_once(tmp_path, text, said):
    """Not after twenty seconds of silence; nothing was pressed."""
    with http_server("fast") as server:
        began_s = time.monotonic()
        with pytest.raises(LoadError, match=said):
            with apply_load(plan_for(server.base_url, tmp_path, text), folder=tmp_path, clock=CLOCK):
                pass
        took_s = time.monotonic() - began_s

        assert server.requests() == 0
    assert took_s < 15.0


def test_a_user_that_stops_itself_in_mid_load_is_an_error_of_the_load(tmp_path):
    """Its seat is gone: what finds none is not the service's failure alone to explain."""
    looks = "self.client.get('/items/1'); raise StopUser"
    result, _ = pressed(tmp_path, visitor(looks=looks), max_in_flight=2, drain="100ms")

    assert result.tally.ok == 2
    assert result.tally.client_errors == 2
    assert "it stopped itself (StopUser)" in result.tally.client_error
    assert result.tally.is_whole


TIMED = """
    seen = []
    def on_start(self):
        self.seen.append(time.monotonic())
        self.together = getattr(type(self), "busy", 0) + 1
        type(self).busy = self.together
        type(self).most = max(getattr(type(self), "most", 0), self.together)
        gevent.sleep(0.02)
        type(self).busy -= 1

    @task
    def look(self):
        self.client.get(f"/most/{type(self).most}/{self.seen[-1] - self.seen[0]:.3f}")
"""


@pytest.mark.parametrize(("seats_per_s", "least_s"), [(None, 0.02), (50.0, 19 / 50)])
def test_no_more_than_ten_prepare_at_a_time_and_no_faster_than_is_said(tmp_path, seats_per_s, least_s):
    """As the users themselves saw it."""
    _, heard = pressed(tmp_path, visitor(more=TIMED), seats_per_s=seats_per_s, per_s=60.0)
    most, lasted_s = heard.partition("GET /most/")[2].split(" ")[0].split("/")

    assert int(most) <= 10
    assert (int(most) == 10) is (seats_per_s is None)
    assert least_s - 0.005 <= float(lasted_s)


LOGIN = "self.client.get('/login', name='login')"
AGAIN = """
        with self.client.get('/login', name='login', catch_response=True) as first:
            first.failure('not yet')
        self.client.get('/login', name='login')
"""


def test_logins_that_fail_are_heard_and_nothing_rests_on_them(tmp_path):
    """Which, of how many, and why; the load does not begin with users that are none."""
    with http_server("missing") as server:
        plan = plan_for(server.base_url, tmp_path, visitor(begins=LOGIN))
        with pytest.raises(
            LoadError, match=r"what on_start asks failed for 20 of 20 users; the first: login: .*404"
        ) as told:
            with apply_load(plan, folder=tmp_path, clock=CLOCK):
                pass

        assert server.requests() == 20
    assert "seats_per_s" in told.value.fix


def test_a_login_that_succeeds_in_the_end_has_succeeded(tmp_path):
    """One may try again. And three users of a fixed count fill three of twenty seats, which is no reason to wait."""
    result, heard = pressed(tmp_path, visitor(begins=AGAIN.strip(), count=3))

    assert heard.count("GET /login ") == 6
    assert result.tally.ok == result.tally.issued > 10


TIME_OUTS = """
import locust
from pathlib import Path
from harness.load.generator.locustfile import _opened, users_of
from harness.load.generator.users import RequestQueue
from harness.load.plan import LoadPlan
from harness.spec.load import Load

plan = LoadPlan(base_url="http://127.0.0.1:1", load=Load(arrivals_per_s=1, locustfile="shop.py"), lasts_s=1, seed=1)
for user in users_of(Path("shop.py").absolute()):
    print(user.__name__, _opened(user, plan, RequestQueue()).network_timeout)
"""
WAITING = """
from locust import FastHttpUser, task

class Usual(FastHttpUser):
    look = task(lambda self: None)

class Long(Usual):
    network_timeout = 60.0

class Short(Usual):
    network_timeout = 0.5

class Heir(Long):
    pass
"""


def test_a_time_out_that_a_file_says_holds_and_the_librarys_own_does_not(tmp_path):
    """Also one that is what the library has by default: who writes it down means it."""
    (tmp_path / "shop.py").write_text(WAITING)
    said = subprocess.run(
        [sys.executable, "-c", TIME_OUTS], cwd=tmp_path, capture_output=True, text=True, check=True,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
    )  # fmt: skip

    assert dict(line.split() for line in said.stdout.splitlines()) == {
        "Usual": "5.0", "Long": "60.0", "Short": "0.5", "Heir": "60.0",
    }  # fmt: skip


class Telling:
    """The lines of a generator that tells of one more user each second, and is ready after so many."""

    is_at_end = False

    def __init__(self, clock, users):
        self.clock, self.users, self.told = clock, users, 0

    def take(self, wait_s):
        self.clock.advance(wait_s)
        if self.clock.now() < self.told + 1:
            return None
        self.told += 1
        if self.told > self.users:
            return {"ready": True, "overhead_p95_s": None} if self.users else None
        return {"seated": self.told, "of": 100}


def load_of(users, folder):
    clock = FakeClock()
    link = SimpleNamespace(lines=Telling(clock, users), pid=None, status=lambda: "", has_ended=lambda: False)
    return LoadRun(plan_for("", folder, ""), folder, clock, link), clock


def test_users_have_as_long_to_prepare_as_they_get_on(tmp_path):
    """A hundred, one a second; a generator that tells of none is missed after the time that one has."""
    load, clock = load_of(100, tmp_path)
    load.wait_until_ready()
    assert clock.now() > 100 > READY_WITHIN_S

    load, clock = load_of(0, tmp_path)
    with pytest.raises(LoadError, match="was not ready in time"):
        load.wait_until_ready()
    assert READY_WITHIN_S < clock.now() < READY_WITHIN_S + 1


ENDS = """
@events.test_stop.add_listener
def stopped(environment, **_):
    open({folder!r} + "/hooks", "a").write("test_stop ")

@events.quitting.add_listener
def quits(environment, **_):
    open({folder!r} + "/hooks", "a").write("quitting ")

@events.quit.add_listener
def over(exit_code, **_):
    open({folder!r} + "/hooks", "a").write("quit")
"""


def test_what_a_locustfile_does_at_the_end_is_done_and_is_no_load(tmp_path):
    """Each user logs out, once, and the test is taken down, in Locust's order; the account was made before."""
    text = visitor(ends="self.client.get('/logout', name='logout')", more=ENDS.format(folder=str(tmp_path)))
    result, heard = pressed(tmp_path, text)

    assert heard.count("GET /logout ") == 20
    assert (tmp_path / "hooks").read_text() == "quitting test_stop quit"
    assert "logout" not in result.samples.operations
    assert result.tally.ok == result.tally.issued == heard.count("GET /items/1 ")
    assert result.tally.client_errors == 0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param(visitor(ends="raise ValueError('no way out')"), "Visitor: ValueError in on_stop: no way out", id="raises"),
        pytest.param(visitor(ends="gevent.sleep(60)"), "were not done within 1 s, and were broken off", id="never ends"),
    ],
)  # fmt: skip
def test_what_breaks_at_the_end_is_an_error_of_the_load(tmp_path, monkeypatch, text, said):
    """Something may have been left behind; what was measured is kept."""
    quick = "import harness.load.generator.generator as ours; ours.LEAVE_WITHIN_S = 1.0\n"
    result, _ = pressed(tmp_path, quick + text)

    assert result.tally.ok == result.tally.issued > 10
    assert result.tally.client_errors >= 1
    assert said in result.tally.client_error
