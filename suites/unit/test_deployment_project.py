"""What runs is more than the file: an override, the values of `.env`, and what is piped in are judged as they run."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from harness.cli import app
from harness.deployment.compose import composed, read_compose
from harness.deployment.mounts import mount_of
from harness.deployment.outside import settled, values_of
from harness.deployment.rules import RULES, findings
from harness.errors import SpecError
from suites.unit.test_deployment_rules import GOOD

HOLDS = f"all of {len(RULES)} rules hold"
OVERRIDE = """\
services:
  web:
    privileged: true
    ports: ["0.0.0.0:9000:9000"]
"""


def checked(*words, standing=None):
    """Return the exit code and what `readiness check compose` says."""
    said = CliRunner().invoke(app, ["check", "compose", *map(str, words)], input=standing)
    return said.exit_code, said.output


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "compose.yaml").write_text(GOOD)
    return tmp_path


def test_an_override_beside_it_is_judged_with_it(folder):
    """`docker compose up` takes both: each finding names the file and the line that it stands in."""
    (folder / "compose.override.yaml").write_text(OVERRIDE)

    code, said = checked(folder / "compose.yaml")

    assert code == 1
    assert f"{folder / 'compose.override.yaml'}:3: web: no-privileges: it is privileged" in said
    assert f"{folder / 'compose.override.yaml'}:4: web: loopback-ports" in said
    assert f"2 findings by {len(RULES)} rules; judged together: {folder / 'compose.yaml'}, " in said


def test_what_an_override_mends_is_mended(folder):
    """A service has what both say, and a rule that the first one breaks alone is not broken."""
    (folder / "compose.yaml").write_text(GOOD.replace('    user: "999:999"\n', ""))
    (folder / "compose.override.yml").write_text('services:\n  cache:\n    user: "999:999"\n')

    assert checked(folder / "compose.yaml")[0] == 0
    assert checked(folder / "compose.yaml", "--alone") == (1, checked(folder / "compose.yaml", "--alone")[1])
    assert "cache: non-root" in checked(folder / "compose.yaml", "--alone")[1]


def test_a_file_of_another_name_is_never_overridden(folder):
    """It is not taken without being named, and then nothing else is."""
    (folder / "compose.override.yaml").write_text(OVERRIDE)
    (folder / "production.yaml").write_text(GOOD)

    assert checked(folder / "production.yaml") == (0, f"{HOLDS}\n")
    assert checked(folder / "compose.yaml", "--alone") == (0, f"{HOLDS}\n")


def test_the_files_that_env_lists_are_what_runs(folder):
    """COMPOSE_FILE says which, in their order; where this one is none of them, it is judged for itself."""
    (folder / "compose.override.yaml").write_text(OVERRIDE)
    (folder / "more.yaml").write_text("services:\n  cache:\n    image: redis\n")
    (folder / ".env").write_text("COMPOSE_FILE=compose.yaml:more.yaml\n")
    code, said = checked(folder / "compose.yaml")
    (folder / ".env").write_text("COMPOSE_FILE=production.yaml\n")

    assert code == 1
    assert f"{folder / 'more.yaml'}:3: cache: pinned-image" in said
    assert "no-privileges" not in said
    assert checked(folder / "compose.yaml")[0] == 0


def test_the_values_of_env_are_what_runs(folder):
    """An address that `.env` opens is open; and a secret that stands there does not stand in the compose file."""
    text = GOOD.replace("127.0.0.1:8080:8080", "${BIND:-127.0.0.1}:8080:8080")
    (folder / "compose.yaml").write_text(text)
    (folder / ".env").write_text("# values\nexport BIND=0.0.0.0 # all of them\nCACHE_TOKEN='hunter2 hunter2'\n")

    code, said = checked(folder / "compose.yaml")

    assert code == 1
    assert [line for line in said.splitlines() if not line.startswith("    ")] == [
        f"{folder / 'compose.yaml'}:6: web: loopback-ports: the port 0.0.0.0:8080:8080 is published on every interface",
        f"1 findings by {len(RULES)} rules; judged together: {folder / 'compose.yaml'}, {folder / '.env'}",
    ]
    assert "hunter2" not in said


def test_json_names_what_was_judged(folder):
    """For machines: the files, and of each finding its own."""
    (folder / "compose.override.yaml").write_text(OVERRIDE)

    told = json.loads(checked(folder / "compose.yaml", "--json")[1])

    assert told["judged"] == [str(folder / "compose.yaml"), str(folder / "compose.override.yaml")]
    assert {each["file"] for each in told["findings"]} == {str(folder / "compose.override.yaml")}


def test_standard_input_is_read(folder):
    """What another program prints is judged as it is; what lies in this folder has nothing to do with it."""
    assert checked("-", standing=GOOD) == (0, f"{HOLDS}\n")
    code, said = checked("-", standing=GOOD.replace("redis:8.2.1", "redis"))

    assert (code, said.splitlines()[0]) == (
        1,
        "standard input:21: cache: pinned-image: redis is whatever is newest on that day",
    )


def test_standard_input_that_is_no_text_is_said():
    run = CliRunner().invoke(app, ["check", "compose", "-"], input=b"\xff\xfe")

    assert isinstance(run.exception, SpecError)
    assert run.exception.where == "standard input"


def test_a_file_that_needs_others_is_judged_by_what_compose_prints_of_it():
    """The advice ends in a command that reads it."""
    with pytest.raises(SpecError) as refused:
        read_compose("services: {a: {image: x}}\ninclude: [b.yaml]\n", name="compose.yaml")

    assert refused.value.fix.endswith("docker compose config --no-interpolate | readiness check compose -")


PRINTED = """\
name: shop
services:
  web:
    depends_on:
      cache: {condition: service_healthy, required: true}
    healthcheck: {test: [CMD, nginx, -t], timeout: 2s, interval: 5s, retries: 3, start_period: 5s}
    image: $${REGISTRY}/nginx:1.29.1
    logging: {driver: local}
    networks: {default: null}
    ports:
      - {mode: ingress, host_ip: "127.0.0.1", target: 8080, published: "$${PORT:-8080}", protocol: tcp}
      - $${BIND:-127.0.0.1}:8443:8443
    restart: $${RESTART:-unless-stopped}
    security_opt: ["no-new-privileges:true"]
    user: 101:101
    deploy: {resources: {limits: {cpus: "0.5", memory: 64M}}}
  cache:
    healthcheck: {test: [CMD, redis-cli, ping], timeout: 2s, interval: 5s, retries: 3, start_period: 5s}
    image: redis:8.2.1
    logging: {driver: local}
    networks: {default: null}
    restart: always
    security_opt: ["no-new-privileges:true"]
    user: 999:999
    deploy: {resources: {limits: {cpus: "0.5", memory: 64M}}}
    volumes:
      - {type: volume, source: data, target: /data, volume: {}}
networks:
  default: {name: shop_default, ipam: {}, internal: true}
volumes:
  data: {name: shop_data}
"""


def test_what_compose_prints_is_read():
    """Its long forms; and the dollars that it doubles in what was included, which stand for variables all the same."""
    assert findings(read_compose(PRINTED, name="-")) == []


@pytest.mark.parametrize(
    ("below", "above", "seen"),
    [
        pytest.param('ports: ["1:1"]', 'ports: ["2:2"]', {"ports": ["1:1", "2:2"]}, id="a list is added to"),
        pytest.param("ports: [a]", "ports: !reset null", {"ports": None}, id="what is taken away"),
        pytest.param("command: [a]", "command: [b]", {"command": ["b"]}, id="a command is replaced"),
        pytest.param("environment: [A=1, B=1]", "environment: {B: 2}", {"environment": {"A": "1", "B": 2}}, id="variables, in either form"),
        pytest.param('volumes: ["./a:/data", "b:/b"]', 'volumes: ["c:/data"]', {"volumes": ["b:/b", "c:/data"]}, id="the mount of a place"),
        pytest.param('volumes: ["./a:/data"]', "volumes: [{type: volume, source: c, target: /data}]", {"volumes": [{"type": "volume", "source": "c", "target": "/data"}]}, id="the mount of a place, in either form"),
        pytest.param("image: x", "user: a", {"image": "x", "user": "a"}, id="what only one says"),
    ],
)  # fmt: skip
def test_a_file_is_laid_over_another_as_compose_does(below, above, seen):
    texts = [(name, f"services: {{web: {{{part}}}}}\n") for name, part in (("a", below), ("b", above))]

    assert composed(texts, {}).services[0].says == seen


def test_a_file_on_top_may_say_only_a_part():
    """Networks alone, or a service that the first one has not; the lines are each file's own."""
    two = composed(
        [
            ("a", "services:\n  web: {image: x}\nnetworks:\n  back: {internal: true}\n"),
            ("b", "networks:\n  back:\n  front: {}\n"),
            ("c", "services:\n  more:\n    image: y\n"),
        ],
        {},
    )
    web, more = two.services

    assert (two.place(web.line("image")), two.place(more.line("image"))) == (("a", 2), ("c", 3))
    assert [two.reaches_outside(name) for name in ("back", "front")] == [False, True]


def test_a_mistake_in_a_file_on_top_has_its_own_line():
    with pytest.raises(SpecError) as refused:
        composed([("a", "services:\n  web: {image: x}\n"), ("b", "services:\n  web: {extends: more}\n")], {})

    assert refused.value.where == "b:2: services.web.extends"


@pytest.mark.parametrize(
    ("text", "values", "said"),
    [
        ("${A}", {}, "$A"), ("${A}", {"A": "x"}, "x"), ("$A", {"A": "x"}, "x"), ("$A", {}, "$A"),
        ("${A:-d}", {}, "d"), ("${A:-d}", {"A": ""}, "d"), ("${A:-d}", {"A": "x"}, "x"),
        ("${A-d}", {}, "d"), ("${A-d}", {"A": ""}, ""), ("${A:?no}", {}, "$A"), ("${A:?no}", {"A": "x"}, "x"),
        ("${A:+d}", {"A": "x"}, "d"), ("${A:+d}", {}, "$A"), ("${A:-${B:-d}}", {"B": "y"}, "y"), ("$$A", {"A": "x"}, "$$A"),
        ("$${A}", {"A": "x"}, "$${A}"),
    ],
)  # fmt: skip
def test_a_variable_stands_for_its_value_or_its_default(text, values, said):
    """As Compose's own page has it; a doubled dollar is a dollar."""
    assert settled([text, {"a": text}, 1], values) == [said, {"a": said}, 1]


def test_env_is_read_as_compose_reads_it():
    text = "# no\n\nA=1\nexport B = two words # remark\nC='a # b' # c\nD=\"q\"\nE=\nnot a line\nF=a#b\n"

    assert values_of(text) == {"A": "1", "B": "two words", "C": "a # b", "D": "q", "E": "", "F": "a#b"}


@given(
    st.dictionaries(st.from_regex(r"[A-Z]{1,5}", fullmatch=True), st.from_regex(r"[a-z0-9:/._-]{0,9}", fullmatch=True))
)
def test_what_env_says_is_what_is_read(values):
    """Names and plain values come back as they were written."""
    assert values_of("".join(f"{name}={value}\n" for name, value in values.items())) == values


@pytest.mark.parametrize(
    ("says", "source", "target", "is_writable"),
    [
        ("./a:/a", "./a", "/a", True), ("./a:/a:ro", "./a", "/a", False), ("./a:/a:z,ro", "./a", "/a", False),
        ("a:/a:rw", "a", "/a", True), ("/a", "", "/a", True), ("./a:/a:$MODE", "./a", "/a", False),
        ({"type": "bind", "source": "./a", "target": "/a"}, "./a", "/a", True),
        ({"type": "bind", "source": "./a", "target": "/a", "read_only": True}, "./a", "/a", False),
        ({"type": "bind", "source": "./a", "target": "/a", "read_only": "$MODE"}, "./a", "/a", False),
    ],
)  # fmt: skip
def test_a_mount_is_the_same_in_either_form(says, source, target, is_writable):
    mount = mount_of(says)

    assert (mount.source, mount.target, mount.is_writable) == (source, target, is_writable)
