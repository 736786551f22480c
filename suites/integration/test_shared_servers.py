"""Sessions of tests that are given the same servers, one after the other: each begins as if they were new."""

from __future__ import annotations

import psycopg
import pytest
from redis import Redis

from suites.support.servers import (
    POSTGRES_PORT,
    REDIS_PORT,
    postgres_of_the_session,
    redis_of_the_session,
    start_postgres,
    start_redis,
)


@pytest.fixture(scope="module")
def redis_port():
    """A Redis that outlives sessions."""
    with start_redis() as port:
        yield port


@pytest.fixture(scope="module")
def postgres_port():
    """A Postgres that outlives sessions."""
    with start_postgres() as port:
        yield port


def test_a_session_finds_the_redis_that_it_is_given_empty(redis_port, monkeypatch):
    """Without the keys, scripts and listeners of the one before."""
    monkeypatch.setenv(REDIS_PORT, str(redis_port))
    with Redis(port=redis_port) as before, before.pubsub() as listener:
        before.set("key", "left")
        script = before.script_load("return 1")
        listener.subscribe("news")
        listener.get_message(timeout=5)

        with redis_of_the_session() as given, Redis(port=given, socket_timeout=5) as client:
            assert given == redis_port
            assert client.dbsize() == 0
            assert client.script_exists(script) == [False]
            assert client.pubsub_numsub("news") == [(b"news", 0)]


def test_a_session_finds_the_postgres_that_it_is_given_empty(postgres_port, monkeypatch):
    """Without the tables, databases, roles and sessions of the one before."""
    monkeypatch.setenv(POSTGRES_PORT, str(postgres_port))
    with connected(postgres_port) as before:
        before.execute("CREATE TABLE items (id int)")
        before.execute("CREATE SCHEMA aside")
        before.execute("CREATE DATABASE seeded")
        before.execute("CREATE ROLE crowded LOGIN")
        before.execute("GRANT ALL ON SCHEMA public TO crowded")
        with connected(postgres_port, database="seeded"):
            with postgres_of_the_session() as given, connected(given) as after:
                assert given == postgres_port
                assert names(after, "SELECT datname FROM pg_database WHERE NOT datistemplate") == {"postgres"}
                assert names(after, "SELECT rolname FROM pg_roles WHERE rolname !~ '^pg_'") == {"postgres"}
                assert names(after, "SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_'") == {
                    "public",
                    "information_schema",
                }
                after.execute("CREATE TABLE items (id int)")
        with pytest.raises(psycopg.OperationalError):
            before.execute("SELECT 1")


def connected(port: int, *, database: str = "postgres") -> psycopg.Connection:
    return psycopg.connect(host="127.0.0.1", port=port, user="postgres", dbname=database, autocommit=True)


def names(connection: psycopg.Connection, question: str) -> set[str]:
    return {name for (name,) in connection.execute(question)}


def test_a_session_that_is_given_none_starts_its_own(redis_port, postgres_port, monkeypatch):
    """As every session does but those of mutants."""
    for variable in (REDIS_PORT, POSTGRES_PORT):
        monkeypatch.delenv(variable, raising=False)

    with redis_of_the_session() as redis, postgres_of_the_session() as postgres:
        assert redis != redis_port
        assert postgres != postgres_port
