"""A compose project as Compose reads it: files over files, variables, profiles, and all that cannot be honoured at once."""

from __future__ import annotations

import pytest

from harness.deployment import keys
from harness.deployment.running import read_running
from harness.errors import SpecError
from harness.spec.composed import Condition, Mount

WHOLE = """\
services:
  web:
    build: {context: shop, args: {BASE: "${BASE:-debian}", OWN: null}, target: last}
    command: serve --on "0.0.0.0 8000"
    entrypoint: [/bin/run]
    ports: ["8080:8000"]
    expose: [9000]
    env_file: [shop.env, {path: none.env, required: false}]
    environment: {CACHE: "redis://cache", LEVEL: 3, FROM_OUTSIDE: null, NOWHERE: null}
    depends_on:
      cache: {condition: service_healthy, restart: true}
      table: {condition: service_completed_successfully}
      mail: {condition: service_started, required: false}
    volumes: ["./etc:/etc/shop:ro", "kept:/kept", "/nameless", {type: tmpfs, target: /scratch}]
    tmpfs: /tmp
    secrets: [word, {source: said, target: /said}]
    configs: [set]
    networks: {front: {aliases: [shop]}, back: null}
    container_name: the-shop
    links: ["cache:store"]
    hostname: here
    extra_hosts: ["far:1.2.3.4"]
    user: 10:10
    init: true
    cap_drop: [ALL]
    mem_limit: 64m
    cpus: 1.5
    ulimits: {nofile: 1024, nproc: {soft: 1, hard: 2}}
    restart: on-failure:3
    labels: {a: b}
    x-own: 1
  cache:
    image: redis:8
    networks: [back]
    healthcheck: {test: redis-cli ping, interval: 1s, retries: 2, start_period: 1m}
    deploy: {replicas: 2, placement: {}, resources: {limits: {memory: 1g, pids: 9}}, restart_policy: {condition: any}}
    security_opt: ["no-new-privileges:true", "apparmor=own"]
  table: {image: shop, networks: [back], healthcheck: {disable: true}}
  mail: {image: mailpit, profiles: [mail]}
networks: {front: null, back: {internal: true}}
volumes: {kept: null}
secrets: {word: {file: word.txt}, said: {environment: SAID}}
configs: {set: {content: "a=$A"}}
"""


@pytest.fixture
def folder(tmp_path):
    """A project's folder, with what the file above names."""
    for name, text in {
        "compose.yaml": WHOLE,
        ".env": "A=of-the-file\nSAID=from-env\nB=of-the-file",
        "shop.env": "LEVEL=1\nCOLOUR=${B}\nFROM_OUTSIDE=x\nNOWHERE=x\n",
        "word.txt": "hush",
        "shop/Dockerfile": "FROM x",
        "etc/a": "",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def read(folder, *, environment=None, judged="web", files=("compose.yaml",), profiles=()):
    return read_running(folder, files, environment or {}, judged=judged, profiles=profiles)


def told(folder, **how):
    with pytest.raises(SpecError) as caught:
        read(folder, **how)
    return str(caught.value)


def written(folder, text, name="compose.yaml"):
    (folder / name).write_text(text)
    return folder


def test_a_service_is_written_out(folder):
    """Every form becomes one, and each word that Compose honours has its place."""
    web = read(folder, environment={"FROM_OUTSIDE": "seen", "B": "of-the-caller"}).services["web"]

    assert (web.build.context, web.build.dockerfile, web.build.target) == ("shop", "Dockerfile", "last")
    assert web.build.args == {"BASE": "debian"}
    assert (web.command, web.entrypoint) == (("serve", "--on", "0.0.0.0 8000"), ("/bin/run",))
    assert web.ports == (9000, 8000)
    assert web.environment == {
        "LEVEL": "3",
        "COLOUR": "of-the-caller",
        "FROM_OUTSIDE": "seen",
        "CACHE": "redis://cache",
    }
    assert web.waits == {"cache": Condition.HEALTHY, "table": Condition.COMPLETED}
    assert web.mounts == (
        Mount(kind="bind", source=str(folder / "etc"), target="/etc/shop", is_read_only=True),
        Mount(kind="volume", source="kept", target="/kept"),
        Mount(kind="volume", source="", target="/nameless"),
        Mount(kind="tmpfs", source="", target="/scratch"),
        Mount(kind="tmpfs", source="", target="/tmp"),  # noqa: S108 - in a container
        Mount(kind="bind", source=str(folder / "word.txt"), target="/run/secrets/word", is_read_only=True),
    )
    assert web.files == {"/said": "from-env", "/set": "a=of-the-file"}
    assert (web.networks, web.is_internal, web.aliases) == ({"front", "back"}, False, ("the-shop", "shop"))
    assert web.links == {"store": "cache"}
    assert web.of_network == {"hostname": "here", "extra_hosts": {"far": "1.2.3.4"}}
    assert web.options == {
        "user": "10:10",
        "init": True,
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
        "mem_limit": 64 << 20,
        "nano_cpus": 1_500_000_000,
        "ulimits": [{"name": "nofile", "soft": 1024, "hard": 1024}, {"name": "nproc", "soft": 1, "hard": 2}],
        "restart_policy": {"Name": "on-failure", "MaximumRetryCount": 3},
    }
    assert web.line == "compose.yaml:2: services.web"


def test_what_is_left_to_the_engine_and_to_clusters_is_read_too(folder):
    """A check with its times, limits and policies of `deploy`, an own network that reaches nothing outside."""
    cache = read(folder).services["cache"]

    assert (cache.health.test, cache.health.interval_s, cache.health.timeout_s) == (
        ("CMD-SHELL", "redis-cli ping"),
        1,
        30,
    )
    assert (cache.health.retries, cache.health.start_period_s, cache.health.patience_s) == (2, 60, 153)
    assert (cache.count, cache.is_internal, cache.command) == (2, True, None)
    assert cache.options == {
        "security_opt": ["no-new-privileges:true", "apparmor:own"],
        "mem_limit": 1 << 30,
        "pids_limit": 9,
        "restart_policy": {"Name": "always"},
    }


def test_a_service_runs_if_its_profile_is_active(folder):
    """By readiness.toml, by COMPOSE_PROFILES, or because it is the judged one; what waits for it then does."""
    assert list(read(folder).services) == ["web", "cache", "table"]
    assert read(folder).jobs == {"table"}
    for active in (
        read(folder, profiles=["mail"]),
        read(folder, environment={"COMPOSE_PROFILES": "x,mail"}),
        read(folder, judged="mail"),
    ):
        assert active.services["web"].waits["mail"] is Condition.STARTED


def test_the_override_is_laid_over_what_is_called_as_usual(folder):
    """Mappings key by key, lists one after the other, commands and mounts at one place replaced; and lines of both."""
    written(
        folder,
        """\
services:
  web:
    command: [other]
    ports: ["9090:7000"]
    environment: [LEVEL=9]
    volumes: ["kept:/etc/shop"]
  cache: {image: !reset null, build: nowhere}
""",
        "compose.override.yaml",
    )

    assert "compose.override.yaml:7: services.cache.build" in told(folder)
    (folder / "nowhere").mkdir()
    composed = read(folder)
    web = composed.services["web"]
    assert (web.command, web.ports, web.environment["LEVEL"]) == (("other",), (9000, 8000, 7000), "9")
    assert [each.source for each in web.mounts if each.target == "/etc/shop"] == ["kept"]
    assert (composed.services["cache"].image, composed.services["cache"].build.context) == (None, "nowhere")


def test_no_override_is_laid_over_files_that_are_named(folder):
    """As with `-f`; and those that are named are laid over each other."""
    written(folder, "services: {web: {command: [third]}}", "compose.override.yml")
    (folder / "compose.yaml").rename(folder / "prod.yaml")
    written(folder, "services: {web: {command: [second]}}", "more.yaml")

    assert read(folder, files=["prod.yaml"]).services["web"].command[0] == "serve"
    assert read(folder, files=["prod.yaml", "more.yaml"]).services["web"].command == ("second",)


def test_what_would_replace_a_list_of_another_file_is_refused(folder):
    """Lists are added to, so that it would not be what it says."""
    written(folder, "services:\n  web:\n    ports: !override ['1:1']\n", "compose.override.yml")

    assert "`!override` cannot be honoured" in told(folder)
    assert "compose.override.yml:3" in told(folder)


def test_a_variable_that_nothing_sets_is_a_note(folder):
    """Compose takes it for empty, and so it is here."""
    written(folder, "services:\n  web:\n    image: shop\n    command: [a, $NONE]\n")

    composed = read(folder)

    assert composed.services["web"].command == ("a", "")
    assert composed.notes == (
        "compose.yaml:4: services.web.command[1]: NONE is not set, and is empty, as Compose has it",
    )


ALONE = "services:\n  web:\n    image: shop\n    {key}\n"

VALUES = {"network_mode": "host", "pid": "host", "privileged": "true", "volumes_from": "[a]", "sysctls": "{a: 1}"}


@pytest.mark.parametrize("key", sorted(keys.REFUSED))
def test_every_key_that_cannot_be_honoured_is_refused_by_name(folder, key):
    """With file, line and key, why, and how to mend it."""
    said = told(written(folder, ALONE.format(key=f"{key}: {VALUES.get(key, 'something')}")))

    assert f"web: `{key}` cannot be honoured: {keys.REFUSED[key]}" in said
    assert f"compose.yaml:4: services.web.{key}" in said
    assert "fix:" in said


@pytest.mark.parametrize(
    "line",
    ["network_mode: bridge", "privileged: false", *(f"{key}: {{}}" for key in sorted(keys.PASSED_OVER - {"extends"}))],
)
def test_what_changes_nothing_is_passed_over(folder, line):
    """Labels, logging and their like."""
    assert read(written(folder, ALONE.format(key=line))).services["web"].image == "shop"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("imagee: x", "unknown key 'imagee'"),
        ("volumes: ['./etc:/etc/shop']", "./etc is mounted for writing"),
        ("volumes: ['./none:/a:ro']", "there is no ./none"),
        ("volumes: ['/var/run/docker.sock:/s:ro']", "the engine's socket is given to nobody"),
        ("volumes: ['other:/a']", "there is no volume 'other'"),
        ("volumes: ['a:b']", "this mount cannot be honoured"),
        ("volumes: [{type: npipe, source: a, target: /a}]", "this mount cannot be honoured"),
        ("volumes: [{type: bind, source: ., target: /a, recursive: x}]", "`recursive` of a mount"),
        ("networks: [none]", "there is no network 'none'"),
        ("networks: {default: {ipv4_address: 10.0.0.1}}", "`ipv4_address` cannot be honoured"),
        ("depends_on: [none]", "web needs none, which is not there"),
        ("depends_on: {web: {condition: service_started}}", "services wait for each other: web → web"),
        ("depends_on: {web: {condition: often}}", "unknown condition 'often'"),
        ("depends_on: {web: {after: 1s}}", "`after` cannot be honoured"),
        ("links: [none]", "web needs none"),
        ("restart: sometimes", "unknown restart policy 'sometimes'"),
        ("healthcheck: {interval: soon}", "'soon' is no duration"),
        ("healthcheck: {often: 1s}", "`healthcheck.often` cannot be honoured"),
        ("build: {context: ., ssh: x}", "`build.ssh` cannot be honoured"),
        ("build: ../..", "leads out of the folder"),
        ("build: https://x/y.git", "leads out of the folder"),
        ("scale: many", "'many' is no whole number"),
        ("mem_limit: much", "'much' is no size"),
        ("ulimits: {nofile: many}", "'many' is no whole number"),
        ("env_file: none.env", "there is no none.env"),
        ("env_file: {path: shop.env, format: raw}", "`format` of a file"),
        ("secrets: [none]", "nothing is known of none"),
        ("security_opt: ['seccomp:unconfined']", "`seccomp:unconfined` cannot be honoured"),
        ("expose: [much]", "'much' names no port"),
        ('command: "\'open"', "No closing quotation"),
        ("init: maybe", "'maybe' is neither true nor false"),
    ],
)
def test_what_is_wrong_in_a_service_is_told_with_its_line(folder, line, said):
    """And with how to mend it."""
    message = told(written(folder, ALONE.format(key=line)))

    assert said in message
    assert "compose.yaml:" in message
    assert "fix:" in message


def test_all_of_it_is_told_at_once(folder):
    """Who mends a file should not have to start a program for each line; other services' mistakes included."""
    said = told(
        written(folder, "services:\n  web: {image: a, pid: host, ipc: host}\n  x: {privileged: true, image: b}\n")
    )

    assert "3 mistakes" in said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("networks: {n: {external: true}}", "n is not the project's own"),
        ("volumes: {v: {external: true}}", "v is not the project's own"),
        ("volumes: {v: {driver_opts: {type: nfs}}}", "v is no plain volume"),
        ("include: [x.yaml]", "includes other files"),
        ("servces: {}", "unknown key 'servces'"),
    ],
)
def test_what_is_not_of_the_project_is_refused(folder, text, said):
    """It would be other people's, and would be changed."""
    assert said in told(written(folder, f"services:\n  web: {{image: shop}}\n{text}\n"))


def test_a_judged_service_that_is_not_there_is_told(folder):
    """With those that are."""
    assert "there is no service 'wab'" in told(folder, judged="wab")
    assert "did you mean 'web'" in told(folder, judged="wab")


def test_one_that_no_active_profile_has_is_told(folder):
    """Unless what waits for it can do without it."""
    written(folder, "services:\n  web: {image: a, depends_on: [mail]}\n  mail: {image: b, profiles: [x]}\n")

    assert "web needs mail, which no active profile has" in told(folder)
    assert "compose_profiles" in told(folder)


def test_a_check_that_is_switched_off_is_waited_for_by_nobody(folder):
    """It would never be healthy."""
    waits = "depends_on: {db: {condition: service_healthy}}"
    written(folder, f"services:\n  web: {{image: a, {waits}}}\n  db: {{image: b, healthcheck: {{disable: true}}}}\n")

    assert "its health check is switched off" in told(folder)
