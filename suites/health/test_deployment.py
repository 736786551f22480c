"""What a user would run: fixtures/deploy/compose.yaml and the files that it mounts, held to our own rules and to others'.

Nothing is started from an image here; what can be asked of the real program (nginx, the service, its settings) is.
"""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
import sys
from contextlib import contextmanager

import httpx
import promql_parser
import pytest
from prometheus_client.parser import text_string_to_metric_families
from promql_parser import MatchOp, VectorSelector
from typer.testing import CliRunner

from fixtures.reference.app import create_app
from fixtures.reference.settings import Settings
from harness.cli import app
from harness.clock import SystemClock, is_met_within
from harness.deployment.compose import read_compose
from harness.spec.document import read_yaml
from harness.spec.parser import read_settings
from harness.stack import nginx
from harness.stack.backends.images.table import OFFICIAL
from suites.support.httpserver import http_server
from suites.support.reference import values_of
from suites.support.servers import PROJECT, free_port, workspace_for

FILE = PROJECT / "fixtures/deploy/compose.yaml"
COMPOSE = read_compose(FILE.read_text(), name=FILE.name)
SERVICES = {service.name: service for service in COMPOSE.services}
REPLICAS = {name: service for name, service in SERVICES.items() if name.startswith("replica-")}
NGINX = (FILE.parent / "nginx.conf").read_text()
PROMETHEUS = read_yaml((FILE.parent / "prometheus.yml").read_text(), name="prometheus.yml").data
ALERTS = {
    rule["alert"]: rule
    for group in read_yaml((FILE.parent / "alerts.yml").read_text(), name="alerts.yml").data["groups"]
    for rule in group["rules"]
}


def status_of(*command):
    """Run a program without a word; return its exit code."""
    return subprocess.run(command, capture_output=True, check=False).returncode


def environment_of(service):
    return {name: value for name, value, _ in SERVICES[service].variables()}


def test_it_breaks_none_of_our_rules():
    """`readiness check compose` finds nothing."""
    said = CliRunner().invoke(app, ["check", "compose", str(FILE)])

    assert (said.exit_code, said.stdout.startswith("all of")) == (0, True), said.stdout


def test_it_is_what_the_compose_specification_calls_a_compose_file():
    """Its JSON schema knows every key."""
    schema = ["--builtin-schema", "vendor.compose-spec"]
    check = [sys.executable, "-m", "check_jsonschema", *schema, str(FILE)]
    said = subprocess.run(check, capture_output=True, text=True, check=False)

    assert said.returncode == 0, said.stdout


def test_docker_compose_understands_it():
    """The program that will run it reads it without a word."""
    if not shutil.which("docker") or status_of("docker", "compose", "version"):
        pytest.skip("docker has no compose plugin here")

    said = subprocess.run(
        ["docker", "compose", "-f", str(FILE), "config", "--quiet"], capture_output=True, text=True, check=False
    )

    assert (said.returncode, said.stderr) == (0, "")


@pytest.mark.parametrize("service", SERVICES.values(), ids=SERVICES)
def test_each_service_may_do_as_little_as_it_can(service):
    """A numbered user who is not root, no capability, nothing of its own to write to but what is said."""
    user, _, group = str(service.says["user"]).partition(":")

    assert min(int(user), int(group)) > 0
    assert service.says["cap_drop"] == ["ALL"]
    assert "cap_add" not in service.says
    assert service.says["read_only"] is True
    assert service.part("deploy", "resources", "limits").keys() == {"cpus", "memory", "pids"}


@pytest.mark.parametrize("name", ["redis", "postgres", "nginx"])
def test_a_server_is_the_version_that_the_harness_runs(name):
    """What was judged is what is deployed."""
    assert SERVICES[name].says["image"] == OFFICIAL[name].reference


def test_every_file_that_is_mounted_or_built_from_is_there():
    """A path that leads nowhere becomes an empty folder where a file was meant."""
    mounts = [str(mount).split(":") for service in SERVICES.values() for mount in service.items("volumes")]
    files = [FILE.parent / source for source, *_ in mounts if source.startswith(".")]
    builds = [service.says["build"] for service in REPLICAS.values()]

    assert {file.resolve() for file in files} == {file for file in FILE.parent.iterdir() if file.is_file()} - {FILE}
    assert all((FILE.parent / build["context"] / build["dockerfile"]).is_file() for build in builds)


def test_the_password_is_in_a_file_that_git_never_sees():
    """Both who ask for it and who checks it read it from there, under the name that each knows."""
    (secret,) = COMPOSE.document.data["secrets"]
    path = FILE.parent / COMPOSE.document.data["secrets"][secret]["file"]
    told = {name: environment_of(name) for name in [*REPLICAS, "postgres"]}

    assert all(SERVICES[name].says["secrets"] == [secret] for name in told)
    assert {told[name]["REFERENCE_POSTGRES_PASSWORD_FILE"] for name in REPLICAS} == {f"/run/secrets/{secret}"}
    assert told["postgres"]["POSTGRES_PASSWORD_FILE"] == f"/run/secrets/{secret}"
    assert f"{path.parent.relative_to(PROJECT)}/" in (PROJECT / ".gitignore").read_text().splitlines()


@pytest.mark.parametrize("name", REPLICAS)
def test_a_replica_is_told_what_it_knows_and_nothing_else(name, monkeypatch, tmp_path):
    """Each variable is one of its settings, and together they are good; its name is its own, its dependencies' are theirs."""
    environment, postgres = environment_of(name), environment_of("postgres")
    (tmp_path / "secret").write_text("correct horse")
    for key, value in {**environment, "REFERENCE_POSTGRES_PASSWORD_FILE": str(tmp_path / "secret")}.items():
        monkeypatch.setenv(key, value)

    settings = Settings()

    assert set(environment) <= values_of(settings).keys()
    assert (settings.replica, settings.replicas) == (name, len(REPLICAS))
    assert (settings.redis.host, settings.postgres.host) == ("redis", "postgres")
    assert set(REPLICAS[name].says["depends_on"]) == {"redis", "postgres"}
    assert settings.postgres.user == postgres["POSTGRES_USER"]
    assert settings.postgres.database == postgres["POSTGRES_DB"]
    memory = REPLICAS[name].part("deploy", "resources", "limits", "memory")
    assert settings.cache.max_bytes < float(memory.removesuffix("M")) * 1e6 / 2


def asked(*paths, **settings):
    """Return what the real service, without its dependencies, answers to each path, one after the other."""
    judged = create_app(Settings(redis={"port": free_port()}, postgres={"port": free_port()}, **settings))

    async def ask():
        transport = httpx.ASGITransport(judged)
        async with (
            judged.router.lifespan_context(judged),
            httpx.AsyncClient(transport=transport, base_url="http://replica") as client,
        ):
            return [await client.get(path) for path in paths]

    return asyncio.run(ask())


@pytest.mark.parametrize("name", REPLICAS)
def test_the_health_check_of_a_replica_asks_whether_it_may_be_sent_requests(name):
    """Its program, run as it is but for the port, believes an answer and no silence; at that path, not yet is a 503."""
    _, _, option, program = REPLICAS[name].part("healthcheck", "test")
    (path,) = re.findall(r":8000(/[^']*)'", program)

    def status(port):
        return status_of(sys.executable, option, program.replace(":8000", f":{port}"))

    with http_server("fast") as server:
        assert status(server.base_url.rpartition(":")[2]) == 0
    assert status(free_port()) != 0
    (said,) = asked(path)
    assert (said.status_code, said.json()["status"]) == (503, "starting")


def test_who_speaks_with_whom_shares_a_network_and_nobody_else_does():
    """Replicas are in the middle; nginx and Prometheus reach no database."""
    networks = {name: set(service.items("networks")) for name, service in SERVICES.items()}

    assert all(networks[name] & networks[other] for name in REPLICAS for other in set(SERVICES) - {name})
    assert not (networks["nginx"] | networks["prometheus"]) & (networks["redis"] | networks["postgres"])


@contextmanager
def running_nginx(text, port):
    """The real nginx with a configuration, in a folder of its own; it is answering."""
    with workspace_for() as workspace:
        path = written(text, port, workspace.work)
        with (workspace.work / "log").open("wb") as log:
            nginx = subprocess.Popen([*nginx_on(path), "-g", "daemon off;"], stdout=log, stderr=log)
        try:
            assert is_met_within(lambda: answers(port), deadline_s=10, clock=SystemClock())
            yield f"http://127.0.0.1:{port}"
        finally:
            nginx.terminate()
            nginx.wait()


def written(text, port, work):
    """Write nginx.conf as it is, but for its port and the folder of a container that it writes to."""
    assert text.count("listen 8080") == 1
    path = work / "nginx.conf"
    path.write_text(text.replace("listen 8080", f"listen 127.0.0.1:{port}").replace("/tmp/", f"{work}/"))  # noqa: S108 - a container's
    return path


def nginx_on(path):
    return [str(nginx.PROGRAM.find()), "-p", str(path.parent), "-c", str(path), "-e", "stderr"]


def answers(port):
    try:
        return httpx.get(f"http://127.0.0.1:{port}/nginx-alive", trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


def test_nginx_understands_its_configuration():
    """As it is, with the names of replicas that are not there: it asks for them later."""
    with workspace_for() as workspace:
        path = written(NGINX, free_port(), workspace.work)
        said = subprocess.run([*nginx_on(path), "-t"], capture_output=True, text=True, check=False)

    assert said.returncode == 0, said.stderr
    assert "warn" not in said.stderr


def test_nginx_speaks_with_the_replicas_of_the_compose_file():
    """Each by its name and its port, and the name server is the engine's."""
    assert re.findall(r"server (\S+) resolve ", NGINX) == [f"{name}:8000" for name in REPLICAS] * 2
    assert "resolver 127.0.0.11 " in NGINX
    assert set(SERVICES["nginx"].says["depends_on"]) == set(REPLICAS)


def test_nginx_shares_requests_out_survives_a_replica_and_hides_what_is_for_us():
    """Both are asked; with one gone every request is answered; metrics and health are nobody's business outside."""
    with http_server("fast") as one, http_server("fast") as two:
        text = NGINX
        for name, server in zip(REPLICAS, (one, two), strict=True):
            text = text.replace(f"{name}:8000 resolve", server.base_url.removeprefix("http://"))
        with running_nginx(text, free_port()) as url, httpx.Client(base_url=url, trust_env=False) as client:
            hidden = [client.get(path).status_code for path in ("/metrics", "/health/ready", "/health/live")]
            whole = {client.get("/items/1").status_code for _ in range(10)}
            shared = (one.requests(), two.requests())
            two.process.kill()
            left = {client.put("/items/1", json={"value": "x"}).status_code for _ in range(10)}

    assert hidden == [404, 404, 404]
    assert (whole, left) == ({200}, {200})
    assert shared == (5, 5)


def test_prometheus_asks_services_of_the_compose_file():
    """Each replica by itself, on the port and at the path that it has."""
    targets = {
        job["job_name"]: [target for each in job["static_configs"] for target in each["targets"]]
        for job in PROMETHEUS["scrape_configs"]
    }
    mounted = {str(mount).split(":")[1] for mount in SERVICES["prometheus"].items("volumes")}

    assert targets == {"reference": [f"{name}:8000" for name in REPLICAS], "prometheus": ["prometheus:9090"]}
    assert set(PROMETHEUS["rule_files"]) <= mounted
    assert "--config.file=/etc/prometheus/prometheus.yml" in SERVICES["prometheus"].says["command"]


@pytest.fixture(scope="module")
def series():
    """Return what the real service exposes once it has failed and refused: metric, and labels of each series."""
    strict = {"replicas": 1, "limiter": {"burst": 1, "rate_per_s": 0.1}}
    failed, refused, metrics = asked("/items/1", "/items/1", "/metrics", **strict)
    assert (failed.status_code, refused.status_code) == (503, 429)
    found = {}
    for sample in (sample for family in text_string_to_metric_families(metrics.text) for sample in family.samples):
        found.setdefault(sample.name, []).append(sample.labels)
    jobs = [job["job_name"] for job in PROMETHEUS["scrape_configs"]]
    return {**found, "up": [{"job": job} for job in jobs]}  # Prometheus' own


def selectors(expression):
    """Return every series that an expression asks for, each with its matchers."""
    found = []
    promql_parser.walk(
        promql_parser.parse(expression), lambda node: found.append(node) if isinstance(node, VectorSelector) else None
    )
    return [(node.name, [(each.name, each.op, each.value) for each in node.matchers.matchers]) for node in found]


def is_met(labels, matchers):
    """Tell whether a series is asked for; Prometheus anchors its patterns."""
    patterns = {name: value if operator == MatchOp.Re else re.escape(value) for name, operator, value in matchers}
    return all(re.fullmatch(pattern, labels.get(name, "")) for name, pattern in patterns.items())


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_asks_for_what_the_service_exposes(alert, series):
    """Each metric, with each of the labels' values: an alert on anything else would never come."""
    wanted = selectors(ALERTS[alert]["expr"])

    assert wanted
    for name, matchers in wanted:
        assert any(is_met(labels, matchers) for labels in series.get(name, [])), f"{name} {matchers}"


def test_the_promises_of_the_gate_are_those_that_wake_somebody():
    """The limits in the alerts are those of readiness.toml."""
    promised = {objective.sli: objective for objective in read_settings(PROJECT / "readiness.toml").objectives}
    limits = {alert: promql_parser.parse(rule["expr"]).rhs for alert, rule in ALERTS.items()}
    (_, matchers), _ = selectors(ALERTS["Slow"]["expr"])
    (bucket,) = [value for name, _, value in matchers if name == "le"]

    assert limits["Errors"].val == promised["errors"].limit
    assert limits["Slow"].val == promised["slow"].limit
    assert float(bucket) == promised["slow"].over
    assert limits["Misses"].val == promised["hits"].limit


def test_every_alert_says_what_it_is_and_what_to_do():
    """Whoever is woken has read neither file."""
    assert all(rule["labels"].keys() == {"severity"} and rule["for"] for rule in ALERTS.values())
    assert all(rule["annotations"].keys() == {"summary", "action"} for rule in ALERTS.values())
