"""`readiness init`: what a folder tells of its service, what is written from that, and what is said not to be known."""

from __future__ import annotations

import shutil
import tomllib

import pytest
from typer.testing import CliRunner

from harness.cli import app
from harness.cli.init import PROPOSED
from harness.errors import SpecError
from harness.library.files import scenario_files
from harness.library.lint import linted
from harness.onboarding.folder import FILE_BYTES_MAX, Folder
from harness.onboarding.limits import proved
from harness.onboarding.proposal import Answers, proposed, told_by
from harness.options import settings_of
from suites.support.made import Stretch, history_of, scenario_of

KNOWN = PROPOSED

FLASK = {
    "requirements.txt": "flask==3.0\nredis>=5\n",
    "shop/__init__.py": """\
import os
from flask import Flask

def create_app(config=None):
    app = Flask(__name__)
    url = os.environ["REDIS_URL"]

    @app.route("/health")
    def health(): ...

    @app.route("/items/<int:item>", methods=["GET", "PUT"])
    def item(item): ...

    @app.route("/orders", methods=["POST"])
    def order(): ...

    return app
""",
}
FASTAPI = {
    "pyproject.toml": '[project]\nname = "t"\ndependencies = ["fastapi", "asyncpg>=0.29"]\n',
    "src/things/main.py": """\
import os
from fastapi import FastAPI

api: FastAPI = FastAPI()
DSN = os.getenv("DATABASE_URL")

@api.get("/readyz")
async def ready(): ...

@api.get("/things/{thing_id}")
async def thing(thing_id: int): ...

@api.get("/pairs/{one}/{other}")
async def pair(one: int, other: int): ...

@api.post("/things")
async def make(): ...
""",
}
DJANGO = {
    "manage.py": "",
    "site/wsgi.py": "from django.core.wsgi import get_wsgi_application\n\napplication = get_wsgi_application()\n",
    "site/asgi.py": "from django.core.asgi import get_asgi_application\n\napplication = get_asgi_application()\n",
    "site/urls.py": 'urlpatterns = [path("", index), path("people/<int:pk>/", person), path("admin/", admin)]\n',
}
EXPRESS = {
    "package.json": '{"scripts": {"start": "node server.js", "migrate": "x"}, "dependencies": {"pg": "8", "mongoose": "8"}}',
    "server.js": 'app.get("/health", h)\napp.get("/users/:id", u)\napp.post("/users", p)\nserver.listen(process.env.PORT)\n',
    ".env.example": "DB_HOST=localhost\nDB_PORT=5432\nDB_USER=me\nDB_NAME=shop\nDB_PASSWORD=\nSECRET_KEY=\n",
}
GO = {
    "go.mod": "module x\n\nrequire github.com/redis/go-redis/v9 v9.0.0\n",
    "cmd/shop/main.go": 'package main\n\nfunc main() {\n\thttp.HandleFunc("GET /a/{id}", a)\n\tos.Getenv("PORT")\n}\n',
}
SPRINKLED = {
    "requirements.txt": "pymysql\npika>=1.3\naiosmtplib\n",
    ".env.example": "DATABASE_URL=mysql://me@db/shop\nMYSQL_PASSWORD=x\nRABBITMQ_URL=\nCELERY_BROKER_URL=amqp://mq\nSMTP_HOST=\nMAIL_PORT=25\n",
    "wsgi.py": "from flask import Flask\n\napp = Flask(__name__)\n",
}
PROCFILE = {
    "Procfile": "web: gunicorn shop.wsgi --bind 0.0.0.0:$PORT\nrelease: python m.py\nmail_er: python w.py\nodd: a | b\n",
}
DOCKERFILE = {"Dockerfile": 'FROM x\nCMD ["old"]\nENTRYPOINT ["shop"]\nCMD ["--port", \\\n "80"]\n'}
COMPOSE = {
    "compose.yaml": """\
services:
  web:
    build: .
    command: node server.js --port ${PORT:-8000}
    ports: ["8080:8000"]
    environment: {REDIS_URL: "redis://cache:6379/0", DATABASE_URL: "mongodb://db/x"}
  cache: {image: "redis:7"}
  logs: {image: "bitnami/kafka@sha256:00"}
""",
}


def folder_of(path, files):
    for name, text in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(text)
    return Folder(path)


def proposal_of(path, files, **answers):
    return proposed(told_by(folder_of(path, files)), Answers(**answers), KNOWN)


@pytest.mark.parametrize(
    ("files", "kind", "runs", "seen_in"),
    [
        pytest.param(FLASK, "wsgi", "shop:create_app", "shop/__init__.py, line 4", id="Flask"),
        pytest.param(FASTAPI, "app", "things.main:api", "src/things/main.py, line 4", id="FastAPI"),
        pytest.param(DJANGO, "wsgi", "site.wsgi:application", "site/wsgi.py, line 3", id="Django"),
        pytest.param(EXPRESS, "command", ("node", "server.js"), "package.json", id="Node"),
        pytest.param(GO, "command", ("go", "run", "./cmd/shop"), "go.mod and cmd/shop", id="Go"),
        pytest.param(
            PROCFILE, "command", ("gunicorn", "shop.wsgi", "--bind", "{host}:{port}"), "Procfile", id="Procfile"
        ),
        pytest.param(DOCKERFILE, "command", ("shop", "--port", "80"), "Dockerfile", id="Dockerfile"),
        pytest.param(COMPOSE, "command", ("node", "server.js", "--port", "{port}"), "compose.yaml, web", id="Compose"),
    ],
)
def test_a_folder_tells_how_its_service_is_started(tmp_path, files, kind, runs, seen_in):
    """By its own files, on loopback, with the place that says so."""
    start = proposal_of(tmp_path, files).start

    assert (start.kind, start.runs, start.seen_in) == (kind, runs, seen_in)
    assert start.factory is (files is FLASK)


@pytest.mark.parametrize(
    ("files", "ready", "asked"),
    [
        pytest.param(FLASK, "/health", ["/items/{key}"], id="Flask"),
        pytest.param(FASTAPI, "/readyz", ["/things/{key}"], id="FastAPI"),
        pytest.param(DJANGO, "/", ["/", "/people/{key}/"], id="Django"),
        pytest.param(EXPRESS, "/health", ["/users/{key}"], id="Node"),
        pytest.param(GO, "/", ["/a/{key}"], id="Go"),
        pytest.param(PROCFILE, "/", ["/"], id="nothing said"),
    ],
)
def test_what_is_asked_are_the_paths_that_answer_a_get(tmp_path, files, ready, asked):
    """Those with one part that differs at most, and none that the service says of itself."""
    proposal = proposal_of(tmp_path, files)

    assert proposal.ready.path == ready
    assert [route.path for route in proposal.asked] == asked


@pytest.mark.parametrize(
    ("files", "components", "environment"),
    [
        pytest.param(FLASK, ["redis"], {"REDIS_URL": "{redis.url}"}, id="a variable in the source"),
        pytest.param(FASTAPI, ["postgres"], {"DATABASE_URL": "{postgres.url}"}, id="a package"),
        pytest.param(
            EXPRESS,
            ["postgres"],
            {
                "PORT": "{port}",
                "DB_HOST": "{postgres.host}",
                "DB_PORT": "{postgres.port}",
                "DB_USER": "{postgres.user}",
                "DB_NAME": "{postgres.database}",
                "DB_PASSWORD": "any",
            },
            id="an example of the environment",
        ),
        pytest.param(
            SPRINKLED,
            ["mysql", "rabbitmq", "smtp"],
            {
                "DATABASE_URL": "{mysql.url}",
                "MYSQL_PASSWORD": "",
                "RABBITMQ_URL": "{rabbitmq.url}",
                "CELERY_BROKER_URL": "{rabbitmq.url}",
                "SMTP_HOST": "{smtp.host}",
                "MAIL_PORT": "{smtp.port}",
            },
            id="by what a value begins with",
        ),
        pytest.param(COMPOSE, ["redis"], {"REDIS_URL": "{redis.url}"}, id="another database's URL is left alone"),
        pytest.param(PROCFILE, [], {}, id="nothing said"),
    ],
)
def test_what_it_depends_on_is_started_and_told_to_it(tmp_path, files, components, environment):
    """By packages, images and variables; each kind once."""
    proposal = proposal_of(tmp_path, files)

    assert [each.kind for each in proposal.components] == components
    assert {name: value for name, (value, _) in proposal.environment.items()} == environment


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (EXPRESS, "how to start mongodb (mongoose in package.json): it is reached as it is now, and cannot be hurt"),
        (EXPRESS, "what SECRET_KEY should be: set it in [system.subject.environment], or name it in `secrets`"),
        (GO, "by what it learns where redis is: give it {redis.host} and {redis.port}"),
        (GO, "which path tells that it is ready: GET / is asked, and must answer 200"),
        (GO, "which keys are there: 1 to 100 are asked for"),
        (PROCFILE, "what it depends on: name it under [system.components]"),
        (PROCFILE, "what clients ask for: GET / stands in, which proves little"),
        (
            COMPOSE,
            "how to start kafka (kafka in compose.yaml, line 8): it is reached as it is now, and cannot be hurt",
        ),
    ],
)
def test_what_could_not_be_known_is_said(tmp_path, files, said):
    """Each in a sentence that says what to do about it."""
    assert said in proposal_of(tmp_path, files).unknown


def test_a_folder_that_tells_all_leaves_nothing_unsaid(tmp_path):
    """But for the keys, which only its data could tell."""
    assert proposal_of(tmp_path, FLASK).unknown == ("which keys are there: 1 to 100 are asked for",)


def test_what_runs_before_and_beside_is_kept(tmp_path):
    """Migrations once, workers by their names; what only a shell could read is left out."""
    start = proposal_of(tmp_path, PROCFILE).start

    assert start.init == (("python", "m.py"),)
    assert start.workers == {"mail-er": ("python", "w.py")}


def test_a_project_with_an_environment_of_its_own_is_run_by_that(tmp_path):
    """Its packages need not be installed beside the harness."""
    own = {".venv/bin/python": "", ".venv/lib/python3.11/site-packages/gunicorn/__init__.py": ""}
    start = proposal_of(tmp_path, {**FLASK, **own, "alembic.ini": ""}).start

    assert start.runs == (".venv/bin/python", "-m", "gunicorn", "shop:create_app()", "--bind", "{host}:{port}")
    assert (start.kind, start.factory) == ("command", False)
    assert start.init == ((".venv/bin/python", "-m", "alembic", "upgrade", "head"),)


def test_what_is_not_its_own_tells_nothing(tmp_path):
    """Packages of others, tests, hidden folders, and what is too long to have been written by hand."""
    other = FASTAPI["src/things/main.py"]
    places = ("node_modules/a.py", "tests/a.py", ".hidden/a.py", "venv/lib/a.py", "a/b/c/d/e/f/a.py")
    folder = folder_of(
        tmp_path, {**dict.fromkeys(places, other), "long.py": other + "#" * FILE_BYTES_MAX, "odd.py": "def ("}
    )

    assert told_by(folder).starts == ()


def test_where_nothing_says_how_it_is_started_it_is_refused(tmp_path):
    """With the options that would say so."""
    with pytest.raises(SpecError, match="nothing here says how the service is started") as refused:
        proposal_of(tmp_path, {"README.md": "a project"})
    assert "--command 'node server.js --port {port}'" in refused.value.fix


def init(path, *options):
    return CliRunner().invoke(app, ["init", str(path), *options])


@pytest.mark.parametrize(
    "files", [FLASK, FASTAPI, DJANGO, EXPRESS, GO, PROCFILE, DOCKERFILE, COMPOSE],
    ids=["flask", "fastapi", "django", "node", "go", "procfile", "dockerfile", "compose"],
)  # fmt: skip
def test_what_is_written_is_understood(tmp_path, files):
    """readiness.toml and each scenario, by the reader that judges them; a baseline, each way to be hurt, an overload."""
    proposal = proposal_of(tmp_path, files)

    assert init(tmp_path, "--yes").exit_code == 0
    names = {path.relative_to(tmp_path / "scenarios").as_posix() for path in scenario_files(tmp_path / "scenarios")}
    hurt = {f"{each.kind}/{how}.yaml" for each in proposal.components for how in ("down", "latency", "blackhole")}
    assert names == {"baseline.yaml", "replica/killed.yaml", "replica/paused.yaml", "load/overload.yaml", *hurt}
    assert linted(scenario_files(tmp_path / "scenarios"), tmp_path).mistakes == ()
    system = settings_of(tmp_path).system
    assert system.kinds == {each.kind: each.kind for each in proposal.components}
    assert [request.path for request in system.requests] == [route.path for route in proposal.asked]


def test_options_answer_all_four_questions(tmp_path):
    """So that CI can ask; what they say comes before what the folder tells."""
    folder_of(tmp_path, FLASK)
    told = init(
        tmp_path, "--yes", "--command", "serve '{host}' {port} {memcached.address}", "--needs", "memcached",
        "--ready", "/up", "--get", "/b/{key}", "--get", "/b",
    )  # fmt: skip

    assert told.exit_code == 0, told.output
    written = tomllib.loads((tmp_path / "readiness.toml").read_text())["system"]
    assert written["subject"] == {"command": ["serve", "{host}", "{port}", "{memcached.address}"], "ready": "/up"}
    assert list(written["components"]) == ["memcached"]
    assert [(each["name"], each["path"]) for each in written["requests"]] == [("b", "/b/{key}"), ("b-again", "/b")]


def test_a_service_that_runs_already_is_asked_and_not_started(tmp_path):
    """Nothing of it can be killed, and nothing is started for it."""
    told = init(tmp_path, "--yes", "--url", "http://127.0.0.1:8000", "--ready", "/up")

    assert told.exit_code == 0, told.output
    assert "not known: what it depends on: name its paths in [system.subject.proxies]" in told.output
    assert {path.name for path in scenario_files(tmp_path / "scenarios")} == {"baseline.yaml", "overload.yaml"}
    assert settings_of(tmp_path).system.subject.external == "http://127.0.0.1:8000"


def test_a_compose_project_can_be_judged_as_it_is(tmp_path):
    """By an option; its stores are hurt by the names that they have there, and nothing else is said of it."""
    folder_of(tmp_path, {**COMPOSE, "Dockerfile": "FROM x\n"})
    said = init(tmp_path, "--yes")
    assert "on a Docker engine: `readiness init --service web` has it" in " ".join(said.output.split())

    shutil.rmtree(tmp_path / "scenarios")
    told = init(tmp_path, "--yes", "--service", "web", "--force", "--ready", "/up")

    assert told.exit_code == 0, told.output
    system = settings_of(tmp_path).system
    assert (system.compose, system.replicas, system.subject.service, system.subject.port) == (
        "compose.yaml",
        2,
        "web",
        8000,
    )
    assert "components" not in system.model_fields_set
    assert {path.parent.name for path in scenario_files(tmp_path / "scenarios")} >= {"cache", "replica"}
    assert linted(scenario_files(tmp_path / "scenarios"), tmp_path).mistakes == ()


def test_what_a_compose_file_says_that_cannot_be_honoured_is_told_before_anything_is_written(tmp_path):
    """With its line; so is a service that it has not."""
    folder_of(tmp_path, {"compose.yaml": "services:\n  web: {image: shop, ports: [80], pid: host}\n"})

    assert "`pid` cannot be honoured" in str(init(tmp_path, "--yes", "--service", "web").exception)
    assert "did you mean 'web'" in str(init(tmp_path, "--yes", "--service", "wab").exception)
    assert not (tmp_path / "readiness.toml").exists()


def test_a_compose_file_that_alone_says_how_to_start_is_taken(tmp_path):
    """What its image runs is not known without it; what is built here comes before what is not, and no store does."""
    files = "services:\n  a: {image: x, ports: [1]}\n  c: {image: redis, ports: [6379]}\n  b: {build: ., expose: [2]}\n"
    files += "  by-hand: {image: redis, profiles: [x]}\n"

    start = proposal_of(tmp_path, {"compose.yaml": files}).start

    assert (start.kind, start.runs, start.port, start.seen_in) == ("service", "b", 2, "compose.yaml, line 4")
    assert [each.kind for each in start.beside] == ["c"]


def test_questions_are_asked_where_somebody_can_answer(tmp_path, monkeypatch):
    """Each with what the folder tells as its answer."""
    folder_of(tmp_path, FLASK)
    monkeypatch.setattr("harness.cli.init.is_a_person_there", lambda: True)
    told = CliRunner().invoke(app, ["init", str(tmp_path)], input="1\n\nredis,postgres\n/items/{key} /other\n")

    assert told.exit_code == 0, told.output
    system = settings_of(tmp_path).system
    assert (system.subject.wsgi, system.subject.ready) == ("shop:create_app", "/health")
    assert set(system.kinds) == {"redis", "postgres"}
    assert [request.path for request in system.requests] == ["/items/{key}", "/other"]


def test_nothing_that_is_there_is_lost(tmp_path):
    """One file that is there keeps all others from being written; `--force` replaces them."""
    folder_of(tmp_path, {**FLASK, "scenarios/baseline.yaml": "mine"})
    refused = init(tmp_path, "--yes")

    assert isinstance(refused.exception, SpecError)
    assert "--force replaces it" in str(refused.exception)
    assert not (tmp_path / "readiness.toml").exists()
    assert (tmp_path / "scenarios/baseline.yaml").read_text() == "mine"
    assert init(tmp_path, "--yes", "--force").exit_code == 0
    assert "scenario: baseline" in (tmp_path / "scenarios/baseline.yaml").read_text()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--app", "a:b", "--url", "http://127.0.0.1:1"], "--app and --url are 2 services"),
        (["--command", "node 'server.js"], "No closing quotation"),
        (["--needs", "redis,oracle"], "no component 'oracle' can be started here"),
        (["--app", "nonsense"], "'nonsense' names no application"),
        (["--command", "node server.js"], "port"),
    ],
)
def test_an_answer_that_cannot_be_meant_is_refused(tmp_path, options, said):
    """By name, with what to say instead."""
    folder_of(tmp_path, FLASK)
    refused = init(tmp_path, "--yes", *options)

    assert isinstance(refused.exception, SpecError), refused.output
    assert said in str(refused.exception)
    assert not (tmp_path / "readiness.toml").exists()


@pytest.mark.parametrize(
    ("stretch", "slow_over", "errors_max"),
    [
        pytest.param(Stretch(lasts_s=60, per_s=20), "10ms", "1%", id="a fast one, of too few requests for 0.1 %"),
        pytest.param(Stretch(lasts_s=60, per_s=100), "10ms", "0.5%", id="a fast one"),
        pytest.param(Stretch(lasts_s=60, per_s=20, slow=600), "1s", "1%", id="half in 250 ms"),
        pytest.param(Stretch(lasts_s=60, per_s=20, failed=8), "10ms", "5%", id="with errors"),
    ],
)
def test_a_limit_is_the_step_above_what_was_proved(stretch, slow_over, errors_max):
    """So that the next run of the same service keeps it."""
    scenario = scenario_of(faults=False, objectives=[])
    limits = proved(scenario, history_of(scenario, [stretch]))

    assert limits is not None
    assert (limits.slow_over, limits.errors_max) == (slow_over, errors_max)
    assert "pass: slow" in limits.said


def test_nothing_is_proposed_of_what_was_not_proved():
    """Too few requests, or none that were answered."""
    scenario = scenario_of(faults=False, objectives=[])

    assert proved(scenario, history_of(scenario, [Stretch(lasts_s=1, per_s=20)])) is None
    assert proved(scenario, history_of(scenario, [Stretch(lasts_s=60, per_s=20, failed=1200)])) is None
