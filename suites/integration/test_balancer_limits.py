"""`[system.balancer]`: each limit of the load balancer that a team can set, seen to be kept by a real nginx."""

from __future__ import annotations

import re
import socket
from contextlib import ExitStack, contextmanager
from dataclasses import replace as changed
from time import monotonic
from urllib.parse import urlsplit

import pytest

from harness.clock import SystemClock
from harness.errors import SpecError
from harness.spec.balancer import USUAL, Balancer
from harness.spec.parser import validated
from harness.spec.system import Settings
from harness.spec.toml import read_toml
from harness.stack import nginx
from harness.stack.backends.choice import EMBEDDED
from harness.stack.service import LOOPBACK, Address
from suites.support.balanced import ANSWER, FULL, asked, balanced, replica
from suites.support.servers import PROJECT, workspace_for
from suites.support.stack import DUMMY, OF_DUMMIES, standing

SETTINGS = """\
[system]
name = "shop"

[system.subject]
app = "shop:create_app"

[[objectives]]
sli = "errors"
max = "1%"

[profiles.quick]
stretch = 1.0
"""


def parsed(text: str) -> Settings:
    return validated(Settings, read_toml(text, name="readiness.toml"))


def settings_with(table: str) -> Settings:
    return parsed(f"{SETTINGS}\n[system.balancer]\n{table}\n")


def balancer_with(table: str) -> Balancer:
    return settings_with(table).system.balancer


@contextmanager
def dying(count, folder, table="", **told):
    """Put the load balancer before so many replicas that read a request and end the connection, or as they are told."""
    with ExitStack() as leaving:
        replicas = [leaving.enter_context(replica(**told)) for _ in range(count)]
        places = [each.address for each in replicas]
        yield replicas, leaving.enter_context(balanced(folder, *places, balancer=balancer_with(table)))


def heard(replicas):
    return sum(len(each.heard) for each in replicas)


@pytest.mark.parametrize(("table", "count"), [("", 3), ("tries = 2", 2), ("tries = 1", 1), ("retry_on = []", 1)])
def test_a_request_is_given_to_so_many_replicas(tmp_path, table, count):
    """To each once where nothing is said."""
    with dying(3, tmp_path, table) as (replicas, url):
        assert asked(url, "GET") == 502
        assert heard(replicas) == count


@pytest.mark.parametrize(
    ("table", "count"),
    [("", 1), ('retry_on = ["error", "503"]', 2), ('retry_on = ["error", "502"]', 1)],
)
def test_a_status_is_given_on_where_that_is_said(tmp_path, table, count):
    """A replica that is full says 503: by itself that is its answer."""
    with dying(2, tmp_path, table, answer=FULL) as (replicas, url):
        assert asked(url, "GET") == 503
        assert heard(replicas) == count


@pytest.mark.parametrize(("table", "count"), [("", 1), ("retries_posts = true", 2)])
def test_a_post_is_given_on_where_that_is_said(tmp_path, table, count):
    """It may then be done twice, as behind a balancer that does the same."""
    with dying(2, tmp_path, table) as (replicas, url):
        assert asked(url, "POST") == 502
        assert heard(replicas) == count


def test_a_silent_replica_is_given_up_after_its_time(tmp_path):
    """With 504, and well before the five seconds that it has by itself."""
    with dying(1, tmp_path, 'answer_within = "300ms"', is_silent=True) as (replicas, url):
        began_s = monotonic()
        assert asked(url, "GET") == 504
        assert 0.3 <= monotonic() - began_s < 4.5
        assert heard(replicas) == 1


@pytest.mark.parametrize(("within", "count"), [("100ms", 1), ("10s", 2)])
def test_no_further_replica_is_asked_after_so_long(tmp_path, within, count):
    """The first one has used up the time of both."""
    with dying(2, tmp_path, f'answer_within = "300ms"\ntries_within = "{within}"', is_silent=True) as (replicas, url):
        assert asked(url, "GET") == 504
        assert heard(replicas) == count


def test_a_connection_may_take_as_long_as_is_said(tmp_path):
    """Longer than half a second, which it has by itself: a machine whose queue is full says nothing at all."""
    with socket.socket() as full, socket.socket() as first:
        full.bind((LOOPBACK, 0))
        full.listen(0)
        first.connect(full.getsockname())  # the queue holds one more than it is told
        place = Address(*full.getsockname())
        with balanced(tmp_path, place, balancer=balancer_with('connect_within = "900ms"')) as url:
            began_s = monotonic()
            assert asked(url, "GET") == 504
            assert monotonic() - began_s >= 0.9


@pytest.mark.parametrize(
    ("table", "count"), [("", 1), ('max_fails = 3\nfail_timeout = "60s"', 3), ("max_fails = 0", 4)]
)
def test_a_replica_rests_after_so_many_failures(tmp_path, table, count):
    """Of eight requests it has its turn in four, unless it rests; each is answered by the other one."""
    with replica() as bad, replica(ANSWER) as good:
        limits = balancer_with(f'{table}\ntries_within = "20s"')
        if not table:
            limits = limits.model_copy(update={"fail_timeout": 60.0})  # however slow the eight are
        with balanced(tmp_path, bad.address, good.address, balancer=limits) as url:
            statuses = [asked(url, "GET") for _ in range(8)]

    assert statuses == [200] * 8
    assert len(bad.heard) == count


@pytest.mark.parametrize(("table", "status"), [('body_max = "1KB"', 413), ('body_max = "3KB"', 200), ("", 200)])
def test_a_body_may_be_as_large_as_is_said(tmp_path, table, status):
    """A larger one never reaches a replica."""
    with replica(ANSWER) as there, balanced(tmp_path, there.address, balancer=balancer_with(table)) as url:
        assert asked(url, "POST", b"x" * 2000) == status
        assert len(there.heard) == (status == 200)


def test_a_silent_websocket_is_ended_after_its_time(tmp_path):
    """By the balancer, and well before the 75 s that it has by itself."""
    upgraded = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
    with dying(1, tmp_path, 'websocket_idle = "300ms"', answer=upgraded, is_silent=True) as (_, url):
        place = urlsplit(url)
        with socket.create_connection((place.hostname, place.port), timeout=20) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
            said = b"".join(iter(lambda: client.recv(4096), b""))

    assert said.startswith(b"HTTP/1.1 101 ")


def test_what_is_not_said_is_what_every_run_had():
    """The usual limits, as they stand in docs/system.md."""
    text = nginx.configuration(Address(LOOPBACK, 1), [Address(LOOPBACK, 2), Address(LOOPBACK, 3)], PROJECT)
    seen = dict(
        re.findall(
            r"^ +((?:proxy_(?!pass|set|http|temp)|client_max)\w+) ([^;]+);$",
            text.partition("@upgraded {")[0],
            re.MULTILINE,
        )
    )
    page = (PROJECT / "docs/system.md").read_text()

    assert seen == {
        "client_max_body_size": "1048576",
        "proxy_connect_timeout": "500ms",
        "proxy_read_timeout": "5000ms",
        "proxy_next_upstream": "error timeout",
        "proxy_next_upstream_tries": "2",
        "proxy_next_upstream_timeout": "2000ms",
    }
    assert text.count("server 127.0.0.1:2 max_fails=1 fail_timeout=1s;") == 2
    assert "proxy_read_timeout 75000ms;" in text
    assert "proxy_next_upstream error timeout http_503;" in text
    assert settings_with("").system.balancer == USUAL
    assert all(f"| `{key}` |" in page for key in Balancer.model_fields)


@pytest.mark.parametrize(
    ("table", "where", "what"),
    [
        ("max_fail = 1", "system.balancer.max_fail", "unknown key 'max_fail'"),
        ("answer_within = 5", "system.balancer.answer_within", "not a duration"),
        ('fail_timeout = "1500ms"', "system.balancer.fail_timeout", "no whole number of seconds"),
        ('retry_on = ["418"]', "system.balancer.retry_on[0]", "unknown"),
        ("tries = 0", "system.balancer.tries", "tries is 0, and should be greater than or equal to 1"),
    ],
)
def test_what_nginx_could_not_do_is_refused(table, where, what):
    """With its line, before anything starts."""
    with pytest.raises(SpecError, match=re.escape(what)) as refused:
        balancer_with(table)

    assert refused.value.where == f"readiness.toml:15: {where}"


def test_it_means_nothing_before_what_runs_already():
    with pytest.raises(SpecError, match="balancer means nothing for an external subject"):
        parsed(
            SETTINGS.replace('app = "shop:create_app"', 'external = "http://127.0.0.1:1"')
            + "\n[system.balancer]\ntries = 1\n"
        )


def test_a_stack_stands_with_the_limits_of_its_system(tmp_path):
    """At its start, and in a configuration that leaves a replica out."""
    system = DUMMY.model_copy(
        update={"components": {}, "balancer": balancer_with('max_fails = 7\nfail_timeout = "9s"')}
    )
    with (
        workspace_for(tmp_path) as workspace,
        standing(EMBEDDED, changed(OF_DUMMIES, system=system), workspace=workspace, clock=SystemClock()) as stack,
    ):
        at_start = (workspace.work / "nginx.conf").read_text()
        stack.configure(frozenset({"replica-1"}))
        later = (workspace.work / "nginx.conf").read_text()

    assert [text.count("max_fails=7 fail_timeout=9s;") for text in (at_start, later)] == [4, 2]


def test_a_container_is_told_the_same():
    """Its configuration is written by the same hand."""
    limits = balancer_with("max_fails = 7")
    recipe = nginx.contained("nginx", [Address("replica-1", 1)], balancer=limits)

    assert "max_fails=7" in recipe.files[nginx.PLACE]
    assert "max_fails=7" in nginx.configuration_inside([Address("replica-1", 1)], balancer=limits)
