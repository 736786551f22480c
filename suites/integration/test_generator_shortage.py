"""A generator whose machine runs out of descriptors or ports says so, and blames no service."""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
import sys

import pytest

from harness.clock import SystemClock
from harness.history.samples import SampleOutcome
from harness.load.engine import LoadPlan, apply_load
from suites.support.httpserver import http_server
from suites.support.items import item_load
from suites.support.servers import PROJECT

CLOCK = SystemClock()
FEW = 64
"""The generator itself holds about half of them."""

VISITORS = """
from locust import FastHttpUser, HttpUser

def look(user):
    with user.client.get("/items/1", name=type(user).__name__, catch_response=True) as response:
        if response.status_code != 200:
            response.failure("not to my liking")

class Quick(FastHttpUser):
    tasks = [look]

class Patient(HttpUser):
    tasks = [look]
"""


def pressed(folder, *, limit, host="127.0.0.1", mode="slow", **load):
    """Press with a generator that may open so many files: a soft limit, and a hard one."""
    with http_server(mode) as server:
        base_url = server.base_url.replace("127.0.0.1", host)
        asked = item_load(arrivals_per_s=800, max_in_flight=120, **load)
        plan = LoadPlan(base_url=base_url, load=asked, lasts_s=0.7, seed=7, calibration_s=0.0, project=str(folder))

        def limited(pid):
            resource.prlimit(pid, resource.RLIMIT_NOFILE, limit)

        with apply_load(plan, folder=folder, clock=CLOCK, on_spawn=limited) as pressure:
            return pressure.finish()


@pytest.mark.parametrize(("client", "host"), [("fast", "127.0.0.1"), ("lean", "localhost"), ("theirs", "127.0.0.1")])
def test_a_generator_without_descriptors_blames_no_service(tmp_path, client, host):
    """Of 120 seats not half find one: what they could not send has not failed, however a task calls it."""
    (tmp_path / "shop.py").write_text(VISITORS)
    load = {"locustfile": "shop.py"} if client == "theirs" else {"client": client}
    result = pressed(tmp_path, limit=(FEW, FEW), host=host, **load)

    tally, samples = result.tally, result.samples
    assert tally.is_whole
    assert tally.prevented > 100
    assert tally.ok > 20
    assert tally.failed == 0
    assert tally.short_of == "descriptors"
    assert tally.client_errors == 0
    names = {"Quick", "Patient"} if client == "theirs" else {"read", "write"}
    assert all(samples.of(name).has_outcome(SampleOutcome.PREVENTED).any() for name in names)
    prevented = samples.keep(samples.has_outcome(SampleOutcome.PREVENTED))
    assert set(prevented.records["status"]) == {0}


def test_a_generator_takes_all_the_descriptors_that_it_may(tmp_path):
    """A soft limit is for programs that ask for no more."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    tally = pressed(tmp_path, limit=(FEW, hard), client="lean").tally

    assert tally.prevented == 0
    assert tally.ok == tally.issued > 500


FEW_PORTS = """
import fcntl, json, socket, struct, sys
from pathlib import Path

with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
    fcntl.ioctl(any_socket, 0x8914, struct.pack("16sh22x", b"lo", 0x41))  # SIOCSIFFLAGS: up, and running
from suites.support.httpserver import http_server
with http_server("slow") as server:
    Path("/proc/sys/net/ipv4/ip_local_port_range").write_text("40000 40031")
    from harness.clock import SystemClock
    from harness.load.engine import LoadPlan, apply_load
    from suites.support.items import item_load
    load = item_load(arrivals_per_s=800, max_in_flight=120, client="lean")
    plan = LoadPlan(base_url=server.base_url, load=load, lasts_s=1.0, seed=7, calibration_s=0.0)
    with apply_load(plan, folder=Path(sys.argv[1]), clock=SystemClock()) as pressure:
        print(json.dumps(pressure.finish().tally.to_json()))
"""


def may_have_a_network_of_its_own():
    if not shutil.which("unshare"):
        return False
    return subprocess.run(["unshare", "-rn", "true"], capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not may_have_a_network_of_its_own(), reason="needs user and network namespaces (Linux)")
def test_a_generator_without_ports_blames_no_service(tmp_path):
    """Thirty-two connections are all that this network gives: the kernel refuses the others, not the service."""
    command = ["unshare", "-rn", sys.executable, "-c", FEW_PORTS, str(tmp_path)]
    said = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False, timeout=60)

    assert said.returncode == 0, said.stderr
    tally = json.loads(said.stdout)
    assert tally["failed"] == 0
    assert tally["prevented"] > 100
    assert tally["ok"] > 20
    assert tally["short_of"] == "ports"


def test_on_the_command_line_a_shortage_is_named_with_its_cure(tmp_path):
    """It is exit 2: there was a load, and not the one that was asked for. Nothing is said of a disk, or of the service."""
    with http_server("slow") as server:
        command = f"ulimit -n 256; exec '{sys.executable}' -P -c 'from harness.cli import main; main()' load"
        told = subprocess.run(
            ["sh", "-c", f"{command} {server.base_url} --rate 3000 --for 1s --client lean"],
            cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip

    assert told.returncode == 2, told.stderr
    assert "requests were never sent: on the generator's machine it may open no more files" in told.stderr
    assert "ulimit -Hn" in told.stderr
    assert " prevented" in told.stdout
    assert "disk" not in told.stderr
    assert "Traceback" not in told.stderr
