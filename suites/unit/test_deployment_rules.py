"""Each rule of a deployment file is broken once, at the line where it is, and a good file breaks none."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from harness.cli import app
from harness.deployment.compose import read_compose
from harness.deployment.rules import RULES, findings
from harness.errors import SpecError
from suites.support.servers import PROJECT

GOOD = """\
services:
  web:
    image: nginx:1.29.1
    user: "101:101"
    restart: unless-stopped
    ports: ["127.0.0.1:8080:8080"]
    networks: [front, back]
    depends_on:
      cache: {condition: service_healthy}
    volumes: ["./nginx.conf:/etc/nginx/nginx.conf:ro"]
    security_opt: ["no-new-privileges:true"]
    healthcheck:
      test: [CMD, wget, -qO-, "http://127.0.0.1:8080/health"]
      interval: 5s
      timeout: 2s
      retries: 3
      start_period: 5s
    deploy: {resources: {limits: {cpus: "0.5", memory: 64M}}}
    logging: {driver: json-file, options: {max-size: 10m, max-file: "3"}}
  cache:
    image: redis:8.2.1
    user: "999:999"
    restart: unless-stopped
    networks: [back]
    environment: {CACHE_PASSWORD_FILE: /run/secrets/cache, CACHE_TOKEN: "${CACHE_TOKEN:?}"}
    volumes: ["cache-data:/data"]
    security_opt: ["no-new-privileges:true"]
    healthcheck: {test: [CMD, redis-cli, ping], interval: 5s, timeout: 2s, retries: 3, start_period: 5s}
    deploy: {resources: {limits: {cpus: "0.5", memory: 256M}}}
    logging: {driver: local}
networks:
  front: {}
  back: {internal: true}
volumes:
  cache-data: {}
"""

BROKEN = [
    pytest.param("healthcheck", "    healthcheck: {test: [CMD, redis-cli, ping], interval: 5s, timeout: 2s, retries: 3, start_period: 5s}\n", "", 20, id="no health check"),
    pytest.param("healthcheck", "{test: [CMD, redis-cli, ping], interval: 5s, timeout: 2s, retries: 3, start_period: 5s}", "{disable: true}", 28, id="switched off"),
    pytest.param("healthcheck-times", "      start_period: 5s\n", "", 12, id="no start period"),
    pytest.param("depends-on-health", "\n      cache: {condition: service_healthy}", " [cache]", 8, id="a list"),
    pytest.param("depends-on-health", "service_healthy", "service_started", 9, id="started only"),
    pytest.param("restart", 'user: "101:101"\n    restart: unless-stopped', 'user: "101:101"\n    restart: "no"', 5, id="never"),
    pytest.param("read-only-mounts", "nginx.conf:ro", "nginx.conf", 10, id="a writable file"),
    pytest.param("read-only-mounts", '"./nginx.conf:/etc/nginx/nginx.conf:ro"', "{type: bind, source: ./x, target: /x}", 10, id="a long mount"),
    pytest.param("no-secrets", '"${CACHE_TOKEN:?}"', "hunter2", 25, id="a token"),
    pytest.param("no-secrets", '{CACHE_PASSWORD_FILE: /run/secrets/cache, CACHE_TOKEN: "${CACHE_TOKEN:?}"}', "[A=1, API_KEY=abc]", 25, id="in a list"),
    pytest.param("no-secrets", "${CACHE_TOKEN:?}", "${CACHE_TOKEN:-hunter2}", 25, id="a default"),
    pytest.param("no-secrets", 'CACHE_TOKEN: "${CACHE_TOKEN:?}"', "CACHE_URL: redis://app:hunter2@cache", 25, id="in a URL"),
    pytest.param("loopback-ports", "127.0.0.1:8080:8080", "8080:8080", 6, id="everywhere"),
    pytest.param("loopback-ports", '"127.0.0.1:8080:8080"', "{target: 8080, published: 8080}", 6, id="everywhere, long"),
    pytest.param("loopback-ports", "127.0.0.1:8080:8080", "${BIND:-0.0.0.0}:${PORT:-8080}:8080", 6, id="everywhere, by default"),
    pytest.param("internal-network", "networks: [back]", "networks: [back, front]", 24, id="a way out"),
    pytest.param("internal-network", "    networks: [back]\n", "", 20, id="the default network"),
    pytest.param("named-volume", "cache-data:/data", "/data", 26, id="a nameless volume"),
    pytest.param("named-volume", 'volumes: ["cache-data:/data"]', "tmpfs: [/tmp]", 20, id="room to scratch"),
    pytest.param("resource-limits", '{cpus: "0.5", memory: 256M}', '{cpus: "0.5"}', 29, id="no memory limit"),
    pytest.param("non-root", '"999:999"', "root", 22, id="root"),
    pytest.param("non-root", '    user: "999:999"\n', "", 20, id="nobody says who"),
    pytest.param("non-root", '"999:999"', "0:999", 22, id="root in another group"),
    pytest.param("non-root", '"999:999"', "", 22, id="nobody"),
    pytest.param("no-privileges", "image: redis:8.2.1", "image: redis:8.2.1\n    privileged: true", 22, id="privileged"),
    pytest.param("no-privileges", "image: redis:8.2.1", "image: redis:8.2.1\n    privileged: yes", 22, id="privileged, in a word"),
    pytest.param("no-privileges", "image: redis:8.2.1", "image: redis:8.2.1\n    cap_add: [CAP_SYS_ADMIN]", 22, id="a mighty capability"),
    pytest.param("no-privileges", "image: redis:8.2.1", "image: redis:8.2.1\n    cap_add: [cap_sys_admin]", 22, id="a mighty capability, whispered"),
    pytest.param("no-privileges", "image: redis:8.2.1", "image: redis:8.2.1\n    pid: host", 22, id="the host's processes"),
    pytest.param("no-privileges", '"cache-data:/data"', '"cache-data:/data", "/var/run/docker.sock:/s:ro"', 26, id="the engine"),
    pytest.param("no-new-privileges", 'volumes: ["cache-data:/data"]\n    security_opt: ["no-new-privileges:true"]', 'volumes: ["cache-data:/data"]', 20, id="setuid"),
    pytest.param("pinned-image", "redis:8.2.1", "redis", 21, id="no tag"),
    pytest.param("pinned-image", "redis:8.2.1", "localhost:5000/redis:latest", 21, id="latest"),
    pytest.param("pinned-image", "redis:8.2.1", "redis:${TAG:-latest}", 21, id="latest, by default"),
    pytest.param("bounded-logs", "{driver: local}", "{driver: json-file}", 30, id="no size"),
]  # fmt: skip


def judged(text):
    return [(each.rule, each.line) for each in findings(read_compose(text, name="compose.yaml"))]


def test_a_good_file_breaks_no_rule():
    assert judged(GOOD) == []


@pytest.mark.parametrize(("rule", "old", "new", "line"), BROKEN)
def test_each_rule_is_broken_where_it_is(rule, old, new, line):
    """That rule and no other, with its line."""
    assert GOOD.count(old) == 1

    assert judged(GOOD.replace(old, new)) == [(rule, line)]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param("127.0.0.1:8080:8080", "127.0.0.1:${PORT:-8080}:8080", id="a port with a default"),
        pytest.param("127.0.0.1:8080:8080", "${BIND:-127.0.0.1}:${PORT:?which}:8080", id="an address with a default"),
        pytest.param('volumes: ["cache-data:/data"]', "tmpfs: [/data]", id="what may be forgotten, and says so"),
        pytest.param("redis:8.2.1", "localhost:5000/redis:${TAG:?}", id="a tag from outside"),
        pytest.param("    networks: [back]\n", '    network_mode: "service:web"\n', id="the network of another one"),
        pytest.param("image: redis:8.2.1", 'image: redis:8.2.1\n    privileged: "false"', id="a switch that is off, as text"),
        pytest.param('CACHE_TOKEN: "${CACHE_TOKEN:?}"', 'CACHE_URL: "redis://app:${PASSWORD:?}@cache"', id="a URL with a password from outside"),
        pytest.param("redis:8.2.1", "${APP_IMAGE:?}", id="an image from outside"),
        pytest.param("127.0.0.1:8080:8080", "${BIND:?}:8080:8080", id="an address from outside"),
        pytest.param('["127.0.0.1:8080:8080"]', '["${PUBLISHED:?}"]', id="a port from outside"),
        pytest.param('user: "101:101"\n    restart: unless-stopped', 'user: "101:101"\n    restart: "${RESTART:?}"', id="a policy from outside"),
        pytest.param('"101:101"', '"${UID_OF:?}:${GID_OF:?}"', id="a user from outside"),
        pytest.param("nginx.conf:ro", "nginx.conf:${MODE:?}", id="a mode from outside"),
        pytest.param("cache-data:/data", "${DATA:?}:/data", id="a mount from outside"),
        pytest.param("service_healthy", '"${CONDITION:?}"', id="a condition from outside"),
        pytest.param("back: {internal: true}", "back: {internal: '${INTERNAL:?}'}", id="a network from outside"),
        pytest.param("back: {internal: true}", "back: {external: true}", id="a network that is made elsewhere"),
        pytest.param('volumes: ["cache-data:/data"]\n    security_opt: ["no-new-privileges:true"]', 'volumes: ["cache-data:/data"]\n    security_opt: ["${SECURITY:?}"]', id="an option from outside"),
        pytest.param("    networks: [back]\n", "", id="the default network, which is internal"),
        pytest.param("networks: [back]", "networks: [default]", id="the same by its name"),
        pytest.param('["cache-data:/data"]', "[{type: tmpfs, target: /data}]", id="what may be forgotten, as a mount"),
    ],
)  # fmt: skip
def test_what_only_looks_broken_is_not(old, new):
    """Defaults are judged as what runs, and what only the outside knows is not judged."""
    text = (
        GOOD.replace("networks:\n  front", "networks:\n  default: {internal: true}\n  front")
        if "networks: [" in old
        else GOOD
    )
    assert text.count(old) == 1

    assert judged(text.replace(old, new)) == []


@pytest.mark.parametrize("image", ["redis@sha256:0123", "localhost:5000/library/redis:8.2.1", "bitnami/postgresql:18"])
def test_what_keeps_state_is_known_by_any_name(image):
    """With a digest, or from a registry of one's own."""
    assert judged(GOOD.replace("redis:8.2.1", image).replace("cache-data:/data", "/data")) == [("named-volume", 26)]


@pytest.mark.parametrize(
    "image",
    ["zulip/zulip-postgresql:14", "clickhouse/clickhouse-server:25.3", "pgvector/pgvector:pg17", "postgres16:1",
     "timescale/timescaledb-ha:pg17", "mcr.microsoft.com/mssql/server:2022-latest-1", "etcd-development/etcd:v3.6.0"],
)  # fmt: skip
def test_what_keeps_state_is_known_by_a_word_of_its_name(image):
    """Images are called by more than what they are."""
    assert judged(GOOD.replace("redis:8.2.1", image).replace("cache-data:/data", "/data")) == [("named-volume", 26)]


@pytest.mark.parametrize(
    "image",
    ["prom/postgres-exporter:1.2", "redis/redis-commander:1", "mongo-express:1.0", "provectuslabs/kafka-ui:v0.7",
     "edoburu/pgbouncer:1.24", "acme/server:1", "acme/mysql-backup:2", "acme/postmortem:3"],
)  # fmt: skip
def test_what_speaks_with_a_database_is_none(image):
    """An exporter is not what it exports, and a word in a word is no word."""
    beside = GOOD.replace("redis:8.2.1", image)

    assert judged(beside.replace('volumes: ["cache-data:/data"]', "tmpfs: /tmp")) == []


@pytest.mark.parametrize("mount", ["/srv/cache:/data", "{type: bind, source: /srv/cache, target: /data}"])
def test_a_path_of_the_machine_keeps_state(mount):
    """It is there after the next start; that it can be written to is another rule's matter."""
    assert judged(GOOD.replace('"cache-data:/data"', mount)) == [("read-only-mounts", 26)]


@pytest.mark.parametrize(
    "mount",
    ["./redis.conf:/etc/redis.conf:ro", "cache-data:/tmp", "./init.sql:/docker-entrypoint-initdb.d/init.sql:ro"],
)
def test_settings_and_scratch_keep_no_state(mount):
    """A mount counts only where a service can keep something."""
    assert judged(GOOD.replace("cache-data:/data", mount)) == [("named-volume", 26)]


def test_a_job_may_end():
    """What others wait for to end needs no health check and no second start; everything else holds for it."""
    job = """\
  migration:
    image: migration:1
    user: "10001"
    networks: [back]
    restart: "no"
    security_opt: ["no-new-privileges:true"]
    deploy: {resources: {limits: {cpus: "0.5", memory: 64M}}}
    logging: {driver: local}
networks:
"""
    nobody_waits = GOOD.replace("networks:\n", job, 1)
    waits = "    depends_on:\n      migration: {condition: service_completed_successfully}\n"

    assert judged(nobody_waits.replace("    depends_on:\n", waits)) == []
    assert [rule for rule, _ in judged(nobody_waits)] == ["healthcheck", "restart"]


FRAGMENTS = """\
x-steady: &steady
  restart: unless-stopped
  user: "101:101"
  logging: &logging
    driver: local
x-safe: &safe
  security_opt: ["no-new-privileges:true"]
  user: root
services:
  web:
    <<: [*steady, *safe]
    image: !override nginx:1.29.1
    profiles: [on]
    networks: [back]
    ports: !reset ["8080:8080"]
    healthcheck: {test: [CMD, nginx, -t], interval: 5s, timeout: 2s, retries: 3, start_period: 5s}
    deploy: {resources: {limits: {cpus: "0.5", memory: 64M}}}
  other:
    extends: {service: web}
    environment: {A: b}
    volumes: !override ["./x:/x:ro"]
networks:
  back: {internal: yes}
"""


def test_fragments_and_inheritance_are_written_out():
    """Anchors, merged ones, Compose's tags and what is extended: all there, so no rule is broken."""
    web, other = read_compose(FRAGMENTS, name="compose.yaml").services

    assert judged(FRAGMENTS) == []
    assert web.says["user"] == "101:101"
    assert web.says["profiles"] == ["on"]
    assert other.says["logging"] == {"driver": "local"}
    assert (web.line("logging", "driver"), other.line("logging"), other.line("volumes", 0)) == (5, 4, 21)


def test_what_a_fragment_breaks_is_broken_where_it_is_written():
    """One mistake in a fragment is a finding for each service that uses it, with the fragment's line."""
    assert judged(FRAGMENTS.replace("restart: unless-stopped", "restart: no")) == [("restart", 2), ("restart", 2)]


def test_lists_and_mappings_are_inherited():
    """A list is added to, and takes the other form where it meets it; a command is another one; each with its line."""
    text = """\
services:
  base:
    environment: [A=1, TOKEN=x]
    volumes:
      - ./a:/a
    command: [serve, --fast]
  heir:
    extends: base
    environment: {A: "2"}
    volumes:
      - ./b:/b
    command: [serve]
"""
    _, heir = read_compose(text, name="compose.yaml").services

    assert list(heir.variables()) == [("A", "2", "A"), ("TOKEN", "x", "TOKEN")]
    assert heir.says["volumes"] == ["./a:/a", "./b:/b"]
    assert heir.says["command"] == ["serve"]
    assert [heir.line("environment", name) for name in ("A", "TOKEN")] == [9, 3]
    assert [heir.line("volumes", index) for index in (0, 1)] == [5, 11]


def test_every_rule_has_a_bad_example_and_a_row_in_the_docs():
    page = (PROJECT / "docs/deployment.md").read_text()

    assert {rule.name for rule in RULES} == {case.values[0] for case in BROKEN}
    assert all(f"| `{rule.name}` |" in page for rule in RULES)
    assert all(rule.why and rule.fix and rule.source for rule in RULES)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("a: [", "not YAML", id="no YAML"),
        pytest.param("- 1\n", "has no services", id="a list"),
        pytest.param("services: {}\n", "has no services", id="no service"),
        pytest.param("services: {a: 1}\n", "this is no service", id="a number"),
        pytest.param("services: {a: {image: x}}\nservces: {}\n", "unknown key 'servces'", id="a typo"),
        pytest.param("services: {a: {image: x}}\ninclude: [b.yaml]\n", "includes other files", id="includes"),
        pytest.param("services: {a: {extends: {file: b, service: b}}}\n", "service of another file", id="extends a file"),
        pytest.param("services: {a: {extends: b}, b: {extends: {service: a}}}\n", "leads back here", id="in a circle"),
        pytest.param("services: {a: {extends: {service: [b]}}}\n", "is not there", id="extends nothing"),
        pytest.param("services: {a: {image: !secret x}}\n", "tag '!secret' is refused", id="a tag"),
        pytest.param("x-a: &a 1\nservices: {a: {<<: *a}}\n", "only a mapping can be merged", id="merges a number"),
        pytest.param("services: {a: {image: x, ? [b] : 1}}\n", "a key is no word", id="a list for a key"),
        pytest.param("services: &a {a: *a}\n", "grow without end", id="holds itself"),
        pytest.param("services: {a: &a {<<: *a}}\n", "grow without end", id="merges itself"),
        pytest.param("x-0: &a0 [x]\n" + "".join(f"x-{n + 1}: &a{n + 1} [{f'*a{n},' * 9}]\n" for n in range(9)), "grow without end", id="a bomb"),
    ],
)  # fmt: skip
def test_what_is_no_compose_file_is_said(tmp_path, text, said):
    """One message, and exit code 3."""
    with pytest.raises(SpecError, match=re.escape(said)):
        read_compose(text, name="compose.yaml")
    file = tmp_path / "compose.yaml"
    file.write_text(text)

    assert isinstance(CliRunner().invoke(app, ["check", "compose", str(file)]).exception, SpecError)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
KEYS = st.sampled_from(
    ["image", "ports", "volumes", "environment", "healthcheck", "depends_on", "deploy", "networks", "user", "logging",
     "security_opt", "cap_add", "restart", "extends", "tmpfs", "privileged", "network_mode"]
)  # fmt: skip


@given(st.dictionaries(KEYS, VALUES, max_size=6))
def test_no_service_is_too_odd_to_be_judged(says):
    """Whatever stands there: findings, or one error that names the place; never a traceback."""
    text = json.dumps({"services": {"odd": says}})

    try:
        found = findings(read_compose(text, name="compose.yaml"))
    except SpecError:
        return
    assert all(each.line == 1 for each in found)


def test_the_command_says_line_rule_reason_and_fix(tmp_path):
    """For people, and as JSON; exit 1 where a rule is broken, 0 where none is."""
    file = tmp_path / "compose.yaml"
    file.write_text(GOOD.replace("redis:8.2.1", "redis"))
    run = CliRunner()

    said = run.invoke(app, ["check", "compose", str(file)])
    told = json.loads(run.invoke(app, ["check", "compose", str(file), "--json"]).stdout)
    file.write_text(GOOD)
    good = run.invoke(app, ["check", "compose", str(file)])

    assert said.exit_code == 1
    assert f"{file}:21: cache: pinned-image: redis is whatever is newest on that day" in said.stdout
    assert "the same file is another system tomorrow; name a version" in said.stdout
    assert [(each["rule"], each["line"]) for each in told["findings"]] == [("pinned-image", 21)]
    assert (good.exit_code, good.stdout) == (0, f"all of {len(RULES)} rules hold\n")
