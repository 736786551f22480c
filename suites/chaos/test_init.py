"""`readiness init` in folders of other people: what it writes is run as it is, and what it proposes was measured."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from suites.support.servers import PROJECT

SHOP = '''\
"""A WSGI service that counts in Redis, and answers without it."""

import os

import redis

CACHE = redis.Redis.from_url(os.environ["REDIS_URL"], socket_timeout=0.1, socket_connect_timeout=0.1)


def create_app():
    app = Flask(__name__)
    return app


class Flask:
    """What a framework would give."""

    def __init__(self, name):
        self.name = name

    def route(self, path):
        return lambda function: function

    def __call__(self, environ, start_response):
        start_response("200 OK", [("content-type", "text/plain")])
        try:
            return [b"%d" % CACHE.incr(environ["PATH_INFO"])]
        except redis.RedisError:
            return [b"0"]


app = Flask(__name__)


@app.route("/health")
def health(): ...


@app.route("/things/<int:thing>")
def thing(thing): ...
'''


def readiness(folder, *arguments):
    return subprocess.run(
        [sys.executable, "-c", "from harness.cli import main; main()", *arguments], cwd=folder, capture_output=True,
        text=True, check=False, env={**os.environ, "PYTHONPATH": str(PROJECT)}, stdin=subprocess.DEVNULL, timeout=400,
    )  # fmt: skip


def test_a_folder_is_judged_from_nothing(tmp_path):
    """Files, a measured minute, and a verdict with a dependency that is down; nothing of the folder was changed."""
    (tmp_path / "shop.py").write_text(SHOP)
    (tmp_path / "requirements.txt").write_text("flask\nredis\n")

    begun = readiness(tmp_path, "init", "--yes", "--measure")

    assert begun.returncode == 0, begun.stdout + begun.stderr
    settings = (tmp_path / "readiness.toml").read_text()
    assert "# Proposals: the step above what a run proved (pass: slow" in settings
    assert 'REDIS_URL = "{redis.url}" # shop.py, line 7' in settings
    assert (tmp_path / "shop.py").read_text() == SHOP

    judged = readiness(tmp_path, "run", "redis-down", "--no-allure", "--seed", "1", "--run-id", "first")

    said = json.loads((tmp_path / "reports/runs/first/redis-down/verdict.json").read_text())
    assert said["outcome"] in {"pass", "inconclusive"}, judged.stdout  # the latter on a busy machine
    assert {claim["sli"] for claim in said["claims"]} == {"slow", "errors", "late", "recovery"}
