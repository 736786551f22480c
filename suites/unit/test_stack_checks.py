"""What of a system is refused before anything starts: with file, line, key and the nearest known word."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from harness.errors import SpecError
from harness.faults.data.failover import REFUSED
from harness.options import settings_of
from harness.spec.faults import (
    Bandwidth,
    Descriptors,
    DiskFull,
    Down,
    Failover,
    Flush,
    HalfOpen,
    Kill,
    Latency,
    Pause,
    Restart,
    SlowStart,
)
from harness.stack.blueprint import edges_of, targets_of, why_out_of_reach
from harness.stack.components import COMPONENTS
from harness.stack.stack import leads_into
from harness.stack.standbys import REPLICATIONS

PROJECT = Path(__file__).parents[2]

SETTINGS = """\
[system]
name = "shop"
[system.subject]
app = "shop:app"
{subject}
{components}
[[objectives]]
sli = "errors"
max = "1%"
[profiles.quick]
stretch = 1.0
"""


def settings(folder, *, subject="", components=""):
    (folder / "readiness.toml").write_text(SETTINGS.format(subject=subject, components=components))
    return settings_of(folder)


def refusal(folder, **parts):
    with pytest.raises(SpecError) as caught:
        settings(folder, **parts)
    return str(caught.value).replace(f"{folder}/", "")


def test_an_unchanged_file_means_redis_and_postgres(tmp_path):
    """As it did before components had names."""
    assert settings(tmp_path).system.kinds == {"redis": "redis", "postgres": "postgres"}
    assert settings_of(PROJECT).system.kinds == {"redis": "redis", "postgres": "postgres"}


def test_only_what_is_named_is_there(tmp_path):
    """Also nothing at all."""
    assert settings(tmp_path, components="[system.components.redis]").system.kinds == {"redis": "redis"}
    assert settings(tmp_path, components="[system.components]").system.kinds == {}


def test_a_component_that_is_not_there_is_told(tmp_path):
    """Where it stands, and which one it may be."""
    assert refusal(tmp_path, components="[system.components.rediss]") == (
        "unknown component 'rediss'\n  where: readiness.toml:6: system.components.rediss\n"
        f"  fix:   did you mean 'redis'? known: {', '.join(COMPONENTS)}"
    )
    assert refusal(tmp_path, components='[system.components.cache]\nkind = "postgre"').startswith(
        "unknown component 'postgre'\n  where: readiness.toml:7: system.components.cache.kind\n"
        "  fix:   did you mean 'postgres'?"
    )


@pytest.mark.parametrize("name", ["nginx", "proxy", "replica-2", "subject", "replicas", "machine"])
def test_a_component_cannot_take_a_name_of_the_stack(tmp_path, name):
    """Two services of one name would be one for every fault, and `machine` and `replicas` are targets themselves."""
    told = refusal(tmp_path, components=f'[system.components.{name}]\nkind = "redis"')

    assert f"nothing else can be called {name!r}" in told
    assert f"readiness.toml:6: system.components.{name}" in told


def test_a_placeholder_that_stands_for_nothing_is_told(tmp_path):
    """Each of them, with the line of its variable; in time, for nothing has been started yet."""
    told = refusal(
        tmp_path,
        subject='[system.subject.environment]\nURL = "{redis.prot}"\nHOST = "{postgres.host}"\nNAME = "{replica}"',
        components="[system.components.redis]",
    )

    assert "2 mistakes" in told
    assert "unknown placeholder {redis.prot}\n  where: readiness.toml:6: system.subject.environment.URL" in told
    assert "did you mean 'redis.port'?" in told
    assert "unknown placeholder {postgres.host}\n  where: readiness.toml:7: system.subject.environment.HOST" in told


def test_a_second_one_of_a_kind_has_placeholders_and_targets_of_its_own(tmp_path):
    """By its name."""
    system = settings(
        tmp_path,
        subject='[system.subject.environment]\nURL = "{sessions.url}{redis.url}"',
        components='[system.components.redis]\n[system.components.sessions]\nkind = "redis"',
    ).system

    assert "sessions" in targets_of(Kill(kind="kill", target="x"), system)
    assert targets_of(Flush(kind="flush", target="x"), system) == ["redis", "sessions"]
    assert "replica-2.sessions" in targets_of(Down(kind="down", target="x"), system)
    assert "postgres" not in targets_of(Kill(kind="kill", target="x"), system)


def test_a_mistake_of_the_file_itself_has_its_line_too(tmp_path):
    """As in a scenario."""
    assert "unknown key 'kindd'\n  where: readiness.toml:7: system.components.redis.kindd" in refusal(
        tmp_path, components='[system.components.redis]\nkindd = "redis"'
    )


COMMAND = 'command = ["node", "server.js", "{port}"]'


def subject(folder, said, **more):
    """Return what is said of a system whose subject is not `app`."""
    text = SETTINGS.format(subject=said, components=more.get("components", "")).replace('app = "shop:app"\n', "")
    (folder / "readiness.toml").write_text(text)
    return settings_of(folder).system


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("", "there is nothing to judge\n  where: readiness.toml:3: system.subject\n  fix:   say exactly one of app,"),
        (f'{COMMAND}\nwsgi = "shop:app"', "wsgi and command are 2 subjects"),
        ('command = ["node", "server.js"]', "the command is not told where to listen\n  where: readiness.toml:4: system.subject.command"),
        ('command = ["node", "{porto}", "{port}"]', "unknown placeholder {porto}\n  where: readiness.toml:4: system.subject.command[1]"),
        ("command = []", "at least 1 item"),
        ('command = ["node", "\\u0000"]', "String should match"),
        (f'{COMMAND}\ndefect_app = "shop:broken"', "defect_app is served like app or wsgi"),
        (f'{COMMAND}\nfolder = "nowhere"', "there is no folder nowhere\n  where: readiness.toml:5: system.subject.folder"),
        (f'{COMMAND}\nfolder = "../elsewhere"', "leads elsewhere"),
        (f'{COMMAND}\ninit = [["seed", "{{redis.prot}}"]]', "unknown placeholder {redis.prot}\n  where: readiness.toml:5: system.subject.init[0][1]"),
        (f'{COMMAND}\n[system.subject.workers.mailer]\ncommand = ["mail", "{{nothing}}"]', "readiness.toml:6: system.subject.workers.mailer.command[1]"),
        (f"{COMMAND}\nready_within = 20", "not a duration"),
        (f'{COMMAND}\n[system.subject.proxies.redis]\nlisten = "127.0.0.1:1"\nupstream = "127.0.0.1:2"', "proxies are for an external subject"),
        (f'{COMMAND}\n[system.subject.workers.replica]\ncommand = ["mail"]', "nothing else can be called 'replica-1'"),
        ('external = "http://192.0.2.1:80"', 'the subject is on another machine, 192.0.2.1, which is not said to be yours to load\n  where: readiness.toml:4: system.subject.external\n  fix:   where it is, add allowed_hosts = ["192.0.2.1"] to [system]'),
        ('external = "http://staging.example:80"', "another machine, staging.example, which"),
        ('external = "http://127.0.0.1@staging.example:80"', "cannot be judged"),
        ('external = "http://127.0.0.1.staging.example:80"', "another machine, 127.0.0.1.staging.example, which"),
        ('external = "http://127.0.0.1:80/path"', "cannot be judged"),
        ('external = "ftp://127.0.0.1:80"', "cannot be judged"),
        ('external = "https://127.0.0.1:80/path"', "cannot be judged"),
        ('external = "http://127.0.0.1:0"', "cannot be judged"),
        ('external = "http://127.0.0.1:65536"', "cannot be judged"),
        ('external = "http://127.0.0.1:80"\ninit = [["seed"]]', "init means nothing for an external subject"),
        ('external = "http://127.0.0.1:80"\n[system.subject.proxies.rediss]\nlisten = "127.0.0.1:1"\nupstream = "127.0.0.1:2"', "unknown component 'rediss'\n  where: readiness.toml:5: system.subject.proxies.rediss"),
    ],
)  # fmt: skip
def test_a_subject_that_cannot_be_is_told(tmp_path, said, told):
    """Before anything starts; what it is about, and where that stands."""
    with pytest.raises(SpecError) as caught:
        subject(tmp_path, said)

    assert told in str(caught.value).replace(f"{tmp_path}/", "")


@pytest.mark.parametrize(
    ("allowed", "told"),
    [
        ('["staging.example"]', None),
        ('["db.example", "STAGING.example"]', None),
        ("[]", "yours to load"),
        ('["example"]', "yours to load"),
        ('["staging.example:80"]', "'staging.example:80' names no machine"),
        ('["*.example"]', "'*.example' names no machine"),
        ('["http://staging.example"]', "names no machine"),
    ],
)
def test_another_machine_is_judged_only_where_it_is_named(tmp_path, allowed, told):
    """By its whole name; no pattern, and no part of it."""
    (tmp_path / "readiness.toml").write_text(
        f'[system]\nname = "shop"\nallowed_hosts = {allowed}\n[system.subject]\nexternal = "http://Staging.example:80"\n'
        '[[objectives]]\nsli = "errors"\nmax = "1%"\n[profiles.quick]\nstretch = 1.0\n'
    )

    if told is None:
        assert settings_of(tmp_path).system.subject.external == "http://staging.example:80"
        return
    with pytest.raises(SpecError, match=re.escape(told)):
        settings_of(tmp_path)


def test_components_of_an_external_subject_are_not_ours(tmp_path):
    """They run already, like itself."""
    with pytest.raises(SpecError, match="components means nothing for an external subject"):
        subject(tmp_path, 'external = "http://127.0.0.1:80"', components="[system.components.redis]")


def test_every_process_and_path_of_a_service_can_be_hit(tmp_path):
    """Its workers are named and numbered, and have paths of their own."""
    system = subject(
        tmp_path,
        f'{COMMAND}\n[system.subject.workers.mailer]\ncommand = ["mail"]\ncount = 2',
        components="[system.components.redis]",
    )

    assert targets_of(Kill(kind="kill", target="x"), system) == [
        *("mailer-1", "mailer-2", "nginx", "proxy", "redis", "replica-1", "replica-2"),
    ]
    assert "mailer-1" not in targets_of(SlowStart(kind="slow-start", target="x", delay="1s"), system)
    assert "mailer-2.redis" in targets_of(Down(kind="down", target="x"), system)


def test_a_standby_is_a_process_with_a_path_of_its_own_to_its_primary(tmp_path):
    """What is said of all clients' paths is not said of that one: it is nobody's traffic."""
    system = settings(tmp_path, subject='[system.standbys]\npostgres = "synchronous"').system
    path, all_paths = ("postgres-standby", "postgres"), set(edges_of(system))

    assert "postgres-standby" in targets_of(Kill(kind="kill", target="x"), system)
    assert "postgres-standby.postgres" in targets_of(Down(kind="down", target="x"), system)
    assert targets_of(Failover(kind="failover", target="x"), system) == ["postgres"]
    assert path in all_paths
    assert {each for each in all_paths if leads_into(*each, "postgres")} == {
        ("replica-1", "postgres"), ("replica-2", "postgres")
    }  # fmt: skip
    assert leads_into(*path, "postgres-standby.postgres")


def test_a_standby_of_what_has_none_is_told_with_its_line(tmp_path):
    """In readiness.toml it is every scenario's."""
    said = refusal(tmp_path, subject='[system.standbys]\nredis = "synchronous"')

    assert said.startswith("a redis does not wait for its standby when it acknowledges a write\n")
    assert "readiness.toml:6: system.standbys.redis" in said


def test_what_can_have_a_standby_can_be_asked_whether_it_takes_writes():
    """A failover is seen through every path; a kind that nobody asks would break a run that was under way."""
    assert set(REFUSED) == set(REPLICATIONS) <= set(COMPONENTS)


def test_an_external_subject_can_be_hurt_where_it_was_given_a_path(tmp_path):
    """Nothing of it is ours to kill."""
    system = subject(
        tmp_path,
        'external = "http://127.0.0.1:80"\n'
        '[system.subject.proxies.redis]\nlisten = "127.0.0.1:1"\nupstream = "127.0.0.1:2"',
    )

    assert targets_of(Kill(kind="kill", target="x"), system) == ["proxy"]
    assert targets_of(Down(kind="down", target="x"), system) == ["redis", "subject.redis"]
    assert targets_of(Flush(kind="flush", target="redis"), system) == []
    assert targets_of(DiskFull(kind="disk-full", target="postgres"), system) == []
    assert why_out_of_reach(Flush(kind="flush", target="redis"), system) == (
        "redis was not started here: the subject is external, and its data is not the harness's"
    )
    assert "its data is not the harness's" in why_out_of_reach(DiskFull(kind="disk-full", target="postgres"), system)


STAGED = 'external = "http://127.0.0.1:80"\n'
COMMANDED = """[system.subject.processes.api-1]
kill = ["ssh", "staging", "systemctl", "stop", "api"]
restore = ["ssh", "staging", "systemctl", "start", "api"]
"""


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (f"{COMMAND}\n{COMMANDED}", "processes are for an external subject"),
        (f'{STAGED}[system.subject.processes.api]\nready = "http://127.0.0.1:80/"', "nothing can be done to it"),
        (f'{STAGED}[system.subject.processes.api]\nkill = ["stop"]', "it says kill alone"),
        (f'{STAGED}[system.subject.processes.api]\nresume = ["go"]', "it says resume alone"),
        (f'{STAGED}[system.subject.processes.api]\nkill = "stop api"\nrestore = ["go"]', "readiness.toml:6: system.subject.processes.api.kill"),
        (f"{STAGED}[system.subject.processes.api]\nkill = []\nrestore = []", "system.subject.processes.api.kill"),
        (f'{STAGED}{COMMANDED}kil = ["x"]', "unknown key 'kil'"),
        (f'{STAGED}{COMMANDED}ready = "127.0.0.1:80"', "'127.0.0.1:80' cannot be asked\n  where: readiness.toml:8: system.subject.processes.api-1.ready\n  fix:   write http://HOST:PORT/PATH"),
        (f'{STAGED}{COMMANDED}ready = "http://127.0.0.1:99999/"', "cannot be asked"),
        (f'{STAGED}{COMMANDED}ready = "http://user:secret@127.0.0.1:80/"', "cannot be asked"),
        (f'{STAGED}{COMMANDED}ready = "http://db.example:80/"', "it is on another machine, db.example, which is not said to be yours to ask\n  where: readiness.toml:8: system.subject.processes.api-1.ready"),
        (f"{STAGED}{COMMANDED}".replace("api-1", "proxy"), "nothing else can be called 'proxy'"),
    ],
)  # fmt: skip
def test_a_process_elsewhere_that_cannot_be_is_told(tmp_path, said, told):
    """Before anything starts; what is done to it must be undone, and whoever is asked of it be named."""
    with pytest.raises(SpecError) as caught:
        subject(tmp_path, said)

    assert told in str(caught.value).replace(f"{tmp_path}/", "")


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (Kill(kind="kill", target="api-1"), None),
        (Pause(kind="pause", target="api-1"), "[system.subject.processes.api-1] has no pause and resume"),
        (Restart(kind="restart", target="api-1"), "no command does that to what runs elsewhere: api-1 can be hit by kill"),
        (Kill(kind="kill", target="blind"), "nothing tells whether blind serves, so that the fault could not be seen"),
        (Kill(kind="kill", target="api-2"), "api-2 was not started here"),
        (Descriptors(kind="descriptors", target="api-1"), "its processes are not the harness's"),
    ],
)  # fmt: skip
def test_a_process_elsewhere_can_be_hit_where_a_command_does_it_and_it_can_be_seen(tmp_path, fault, reason):
    """All else is a lack of means, and says which key would mend it; it is known before anything starts."""
    blind = COMMANDED.replace("api-1", "blind")
    system = subject(tmp_path, f'{STAGED}{blind}{COMMANDED}ready = "http://127.0.0.1:80/"')

    assert (fault.target in targets_of(fault, system)) == (reason is None)
    assert (reason or "") in (why_out_of_reach(fault, system) or "")
    assert (why_out_of_reach(fault, system) is None) == (reason is None)


STUB = '[system.components.rates]\nkind = "http-stub"\n'
TCP = '[system.components.ledger]\nkind = "tcp"\n'


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ('[system.components.redis]\nanswers = "x.toml"', "answers means nothing for a redis\n  where: readiness.toml:7: system.components.redis.answers\n  fix:   leave it out; it is for kind = 'http-stub'"),
        (STUB, "an http-stub is told nothing to answer\n  where: readiness.toml:6: system.components.rates.answers"),
        (STUB + 'answers = "missing.toml"', "cannot read the file: No such file or directory\n  where: missing.toml"),
        (STUB + 'answers = "wrong.toml"', "unknown key 'pathh'\n  where: wrong.toml:2: answers[0].pathh"),
        (STUB + 'answers = "../x.toml"', "leads elsewhere"),
        (STUB + 'answers = "right.toml"\nasks = "x"', "asks means nothing for a http-stub"),
        (TCP, "a tcp is told nothing to run\n  where: readiness.toml:6: system.components.ledger.command"),
        (TCP + 'command = ["./ledger"]', "the command is not told where to listen\n  where: readiness.toml:8: system.components.ledger.command"),
        (TCP + 'command = ["./ledger", "{prot}", "{port}"]', "unknown placeholder {prot}"),
        (TCP + 'command = ["./ledger", "{port}"]\nasks = "x"', "it is asked, and any answer would do\n  where: readiness.toml:9:"),
        (TCP + 'command = ["./ledger", "{port}"]\nsays = "x"\nends = "y"', "it is told to end, and asked nothing\n  where: readiness.toml:10:"),
    ],
)  # fmt: skip
def test_what_a_component_cannot_be_told_is_refused(tmp_path, said, told):
    """Before anything starts; in the file of answers as well, with its own line."""
    (tmp_path / "wrong.toml").write_text('[[answers]]\npathh = "/"\n')
    (tmp_path / "right.toml").write_text('[[answers]]\npath = "/"\n')

    assert told in refusal(tmp_path, components=said)


@pytest.mark.parametrize(
    ("said", "unseen"),
    [
        ("", {"latency", "pause", "bandwidth", "half-open"}),
        ('says = "220 "\n', {"bandwidth", "half-open"}),
        ('asks = "PING"\nsays = "PONG"\n', {"bandwidth", "half-open"}),
        ('asks = "PING"\nsays = "PONG"\nends = "QUIT"\n', set()),
    ],
    ids=["accepts", "greets", "answers", "ends"],
)
def test_a_fault_whose_dose_could_not_be_seen_is_out_of_reach(tmp_path, said, unseen):
    """What is asked nothing shows no lateness; that it refuses, or is dead, shows to whoever connects."""
    system = settings(tmp_path, components=f'{TCP}command = ["./ledger", "{{port}}"]\n{said}').system
    target = {"target": "replica-1.ledger"}
    faults = [
        Down(kind="down", **target),
        Latency(kind="latency", delay="1s", **target),
        Bandwidth(kind="bandwidth", rate="1KB/s", **target),
        HalfOpen(kind="half-open", stream="upstream", **target),
        Pause(kind="pause", target="ledger"),
        Kill(kind="kill", target="ledger"),
    ]

    reasons = {fault.kind: why_out_of_reach(fault, system) for fault in faults}

    assert {kind for kind, reason in reasons.items() if reason} == unseen
    assert all("ledger" in reason for reason in reasons.values() if reason)
