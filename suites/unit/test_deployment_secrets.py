"""Which values of a compose file are secrets: the last word of a name says it, and what has no value is none."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.deployment.compose import read_compose
from harness.deployment.rules import findings
from harness.deployment.secrets import stand_in, stands_under


@pytest.mark.parametrize(
    "name",
    ["POSTGRES_PASSWORD", "MYSQL_PWD", "DB_PASS", "DBPASS", "PGPASSWORD", "REDIS_AUTH", "SALT", "ENCRYPTION_KEY",
     "DJANGO_SECRET_KEY", "SECRET_KEY_BASE", "API_KEY_2", "APIKEY", "apiKey", "spring.datasource.password", "NPM_TOKEN",
     "GOOGLE_CREDENTIALS", "SSH_PASSPHRASE", "clientSecret"],
)  # fmt: skip
def test_a_name_that_ends_in_a_secret_holds_one(name):
    """However it is written: in words, in one word, numbered, in camel case."""
    assert stands_under(name, "s3cr3t-value")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param("PASSWORD_MIN_LENGTH", "12", id="a length"),
        pytest.param("FLEET_TOKEN_POLICY_NAME", "Agent Policy APM Server", id="a name"),
        pytest.param("API_KEY_RATE_LIMIT", "60/minute", id="a rate"),
        pytest.param("ACCESS_TOKEN_LIFETIME_MINUTES", "15", id="a time"),
        pytest.param("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE", id="an id"),
        pytest.param("SSH_PUBLIC_KEY", "ssh-ed25519 AAAA", id="what everybody may know"),
        pytest.param("TABLE_PARTITION_KEY", "customer", id="a key of a table"),
        pytest.param("KEY", "customer", id="a key that nobody named"),
        pytest.param("PWD", "app", id="where a shell is"),
        pytest.param("BYPASS", "health", id="a word that ends like one"),
        pytest.param("MAX_TOKENS", "4096", id="a count"),
        pytest.param("DATABASE_PASSWORD", "/run/secrets/db-password", id="a path"),
        pytest.param("DATABASE_PASSWORD", "./secrets/db", id="a path beside the file"),
        pytest.param("TLS_KEY", "file:///etc/tls/key.pem", id="a path as a URL"),
        pytest.param("DATABASE_PASSWORD_FILE", "secret", id="the name of a file"),
        pytest.param("DATABASE_PASSWORD", "vault:database/creds#password", id="where a store keeps it"),
        pytest.param("ALLOW_EMPTY_PASSWORD", "yes", id="a switch"),
        pytest.param("MYSQL_RANDOM_ROOT_PASSWORD", "1", id="a switch in a digit"),
        pytest.param("SMTP_AUTH", "login", id="a way to log in"),
        pytest.param("SASL_AUTH", "SCRAM-SHA-256", id="a way to log in, by its standard"),
        pytest.param("TOKEN", "$TOKEN", id="from outside"),
        pytest.param("TOKEN", "", id="nothing"),
        pytest.param("TOKEN", None, id="nothing said"),
        pytest.param("DATABASE_URL", "postgres://app@db/shop", id="a URL without a password"),
        pytest.param("DATABASE_URL", "postgres://app:$PASSWORD@db/shop", id="a URL with one from outside"),
        pytest.param("DSN", "host=db user=app password=$PASSWORD", id="a connection with one from outside"),
    ],
)
def test_what_only_sounds_like_a_secret_is_none(name, value):
    """It says how long, how often or where; and what stands nowhere cannot be read there."""
    assert not stands_under(name, value)


@pytest.mark.parametrize(
    "value",
    ["redis://app:hunter2@cache:6379", "host=db user=app password=hunter2", "Server=db;User Id=sa;Password=hunter2",
     "jdbc:mysql://db/shop?user=app&password=hunter2", "-Djavax.net.ssl.keyStorePassword=changeit -Xmx1g"],
)  # fmt: skip
def test_a_secret_inside_a_value_is_one_whatever_the_name(value):
    """In a URL, in a connection's settings, in an option of a virtual machine."""
    assert stands_under("ANYTHING", value)


@pytest.mark.parametrize(
    ("command", "held"),
    [
        pytest.param(["--requirepass", "hunter2"], [(0, "--requirepass")], id="an option and its value"),
        pytest.param(["redis-server", "--requirepass=hunter2"], [(1, "--requirepass")], id="an option with its value"),
        pytest.param("redis-server --requirepass hunter2", [(None, "--requirepass")], id="a line"),
        pytest.param(["sh", "-c", "exec redis-server --requirepass 'a b'"], [(2, "--requirepass")], id="a line for a shell"),
        pytest.param(["sh", "-c", "API_TOKEN=abc ./run"], [(2, "API_TOKEN")], id="a variable for a shell"),
        pytest.param(["CMD", "redis-cli", "-a", "hunter2", "ping"], [(2, "-a")], id="a health check"),
        pytest.param(["CMD-SHELL", "mysqladmin ping -phunter2"], [(1, "-p")], id="joined to its option"),
        pytest.param("curl -u admin:hunter2 http://web/", [(None, "-u")], id="behind a name"),
        pytest.param(["worker", "redis://app:hunter2@cache"], [(1, "a password in a URL")], id="a URL"),
    ],
)  # fmt: skip
def test_a_command_gives_a_secret_away(command, held):
    """Where in its list, and what holds it."""
    assert list(stand_in(command)) == held


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(["--requirepass", "$REDIS_PASSWORD"], id="from outside"),
        pytest.param('redis-server --requirepass "$$(cat /run/secrets/redis)"', id="read from a file"),
        pytest.param(["sh", "-c", "redis-cli -a $$REDIS_PASSWORD ping"], id="of the container's own"),
        pytest.param(["mongod", "--auth", "--bind_ip", "127.0.0.1"], id="a switch"),
        pytest.param(["serve", "--password-file", "/run/secrets/x"], id="a file"),
        pytest.param(["serve", "--token-lifetime", "15m"], id="a time"),
        pytest.param(["serve", "--no-auth", "yes-please"], id="switched off"),
        pytest.param(["mkdir", "-p", "/srv/data"], id="the same letter of another program"),
        pytest.param(["tar", "-a", "archive"], id="another one"),
        pytest.param("sh -c 'an open quote", id="no line for a shell"),
        pytest.param(["serve", "--token"], id="nothing behind it"),
        pytest.param(["serve", "--token", "&&", "true"], id="no word behind it"),
        pytest.param([], id="nothing"),
        pytest.param(None, id="nothing said"),
    ],
)
def test_a_command_without_a_secret_says_nothing(command):
    """Also where its options sound like one."""
    assert not list(stand_in(command))


@given(st.text(max_size=40), st.text(max_size=60))
def test_no_value_is_too_odd_to_be_looked_at(name, value):
    """Whatever stands there."""
    stands_under(name, value)
    list(stand_in(value))
    list(stand_in([name, value]))


@given(st.text(string.ascii_letters + string.digits, min_size=6, max_size=20))
def test_the_name_decides_and_not_the_value(word):
    """Any word is a secret below `PASSWORD`, and none below `PASSWORD_HINT`."""
    assert stands_under("APP_PASSWORD", f"x{word}")
    assert not stands_under("APP_PASSWORD_HINT", f"x{word}")


def test_each_is_found_where_it_stands():
    """Environment, command, entrypoint, health check, build arguments: each with its line."""
    text = """\
services:
  web:
    environment:
      DB_PASS: hunter2
    command:
      - serve
      - --api-key=abc
    entrypoint: run --token abc
    healthcheck:
      test: [CMD, redis-cli, -a, hunter2, ping]
    build:
      context: .
      args:
        - NPM_TOKEN=abc
        - TAG=1
"""
    found = [each for each in findings(read_compose(text, name="compose.yaml")) if each.rule == "no-secrets"]

    assert [(each.line, each.seen) for each in found] == [
        (4, "the value of DB_PASS stands in the file"),
        (7, "what --api-key is given in its command stands in the file"),
        (8, "what --token is given in its entrypoint stands in the file"),
        (10, "what -a is given in its healthcheck stands in the file"),
        (14, "the value of NPM_TOKEN stands in the file"),
    ]
