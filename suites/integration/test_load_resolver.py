"""The generator's way to an address: no other thread for one that is written as a number."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from suites.support.servers import PROJECT

ASKED = """
import json, locust, socket, sys, time, _socket
import gevent
from gevent import socket as green
from harness.load.generator import resolver

if sys.argv[1] == "ours":
    resolver.install(allow_remote=False)
answers = {}
for host in json.loads(sys.argv[2]):
    before = gevent.get_hub().threadpool.size
    try:
        found = green.getaddrinfo(host, 80, 0, socket.SOCK_STREAM, socket.SOL_TCP)
    except OSError as error:
        found = type(error).__name__
    answers[host] = [repr(found), gevent.get_hub().threadpool.size > before]
print(json.dumps(answers))
"""


def asked(whose, *hosts):
    """Return, by host, what was found, and whether a thread was begun for it."""
    command = [sys.executable, "-c", ASKED, whose, json.dumps(hosts)]
    said = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True, timeout=60)
    return json.loads(said.stdout)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "no-such-host.invalid", ""])
def test_the_answer_is_the_systems(host):
    assert asked("ours", host)[host][0] == asked("gevent's", host)[host][0]


REMOTE = """
import locust
from gevent import socket as green
from harness.load.generator import resolver

for allowed, hosts in ((False, ("staging.example",)), (False, ("staging.example", "192.0.2.1")), (True, ())):
    resolver.install(allow_remote=allowed, allowed_hosts=hosts)
    try:
        print(green.getaddrinfo("192.0.2.1", 80)[0][4][0])
    except PermissionError as error:
        print(error)
"""


def test_another_machine_is_only_found_where_that_is_allowed():
    """That some other host is named allows none: wherever a redirect leads, its address is asked for here."""
    said = subprocess.run([sys.executable, "-c", REMOTE], cwd=PROJECT, capture_output=True, text=True, check=True)

    refused, named, found = said.stdout.splitlines()
    assert refused == "192.0.2.1 is on another machine; load only what you may ([system] allowed_hosts)"
    assert (named, found) == ("192.0.2.1", "192.0.2.1")


def test_a_number_needs_no_thread_and_a_name_does():
    answers = asked("ours", "127.0.0.1", "::1", "localhost")
    assert {host: begun for host, (_found, begun) in answers.items()} == {
        "127.0.0.1": False,
        "::1": False,
        "localhost": True,
    }
    assert asked("gevent's", "127.0.0.1")["127.0.0.1"][1], "without ours, a number needs one"
