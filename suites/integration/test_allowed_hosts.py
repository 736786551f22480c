"""No request leaves this machine but to a host that is named: seen on an address of this machine that is not loopback."""

from __future__ import annotations

from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from threading import Thread
from typing import ClassVar

import psutil
import pytest

from harness.clock import SystemClock
from harness.errors import LoadError
from harness.load.engine import LoadPlan, apply_load
from harness.spec.system import Subject, System
from harness.stack.backends.choice import EMBEDDED, standing
from harness.stack.blueprint import Blueprint
from suites.support.items import item_load
from suites.support.servers import workspace_for

CLOCK = SystemClock()
PER_S = 100.0


class Server(ThreadingHTTPServer):
    """Takes in as many at once as come."""

    daemon_threads, request_queue_size = True, 128


@pytest.fixture(scope="module")
def elsewhere():
    """An address of this machine that is not loopback: for whoever asks, it is another one."""
    found = [each.address for own in psutil.net_if_addrs().values() for each in own if each.family.name == "AF_INET"]
    others = [address for address in found if not ip_address(address).is_loopback]
    if not others:
        pytest.skip("this machine has no address but loopback")
    return others[0]


@contextmanager
def server(host):
    """Count what arrives there."""

    class Handler(BaseHTTPRequestHandler):
        heard: ClassVar[list[str]] = []
        protocol_version = "HTTP/1.1"

        def handle_one_request(self):
            self.raw_requestline = self.rfile.readline(65_537)
            if not self.raw_requestline or not self.parse_request():
                self.close_connection = True
                return
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.heard.append(self.path)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            """Say nothing."""

    with Server((host, 0), Handler) as listening:
        thread = Thread(target=listening.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"http://{host}:{listening.server_port}", Handler.heard
        finally:
            listening.shutdown()
            thread.join()


def press(base_url, folder, *allowed_hosts):
    load = item_load(arrivals_per_s=PER_S)
    plan = LoadPlan(base_url=base_url, load=load, lasts_s=0.5, seed=7, calibration_s=0.0, allowed_hosts=allowed_hosts)
    with apply_load(plan, folder=folder, clock=CLOCK) as running:
        return running.finish()


def test_a_host_that_is_not_named_gets_no_request(tmp_path, elsewhere):
    """Not one, and it is told what to write; one that is named gets all of them."""
    with server(elsewhere) as (url, heard):
        with pytest.raises(LoadError, match="on another machine") as refused:
            press(url, tmp_path)
        assert heard == []
        assert "[system] allowed_hosts" in refused.value.fix

        tally = press(url, tmp_path, "staging.example", elsewhere).tally
        assert tally.ok == tally.issued == len(heard) > 20


def test_a_subject_on_a_host_that_is_named_is_judged_there(tmp_path, elsewhere):
    """It is asked whether it is ready, and loaded, where it is."""
    with server(elsewhere) as (url, heard), workspace_for() as workspace:
        system = System(name="staged", subject=Subject(external=url, ready="/ready"), allowed_hosts=(elsewhere,))
        assert system.stranger is None
        with standing(EMBEDDED, Blueprint(system=system, seed=1), workspace=workspace, clock=CLOCK) as stack:
            assert stack.base_url == url
            assert set(heard) == {"/ready"}
            assert press(stack.base_url, tmp_path, *system.allowed_hosts).tally.ok > 20
