"""Which images keep state, by the words of their names: a service is known by more names than its own."""

from __future__ import annotations

import re

from harness.deployment.outside import is_from_outside

_KEEPS_STATE = frozenset({
    "arangodb", "cassandra", "clickhouse", "cockroach", "cockroachdb", "consul", "couchbase", "couchdb",
    "elasticsearch", "etcd", "falkordb", "influxdb", "kafka", "keydb", "mariadb", "meilisearch", "memgraph", "milvus",
    "minio", "mongo", "mongodb", "mssql", "mysql", "neo4j", "opensearch", "percona", "pgvector", "postgis", "postgres",
    "postgresql", "prometheus", "qdrant", "questdb", "rabbitmq", "redis", "redpanda", "rethinkdb", "scylla", "scylladb",
    "solr", "surrealdb", "timescaledb", "typesense", "valkey", "vault", "victoriametrics", "weaviate", "yugabyte",
    "zookeeper",
})  # fmt: skip

_SPEAKS_WITH_ONE = frozenset({
    "adapter", "admin", "agent", "backup", "bouncer", "bridge", "browser", "check", "cli", "client", "commander",
    "compass", "connect", "connector", "console", "curator", "dashboard", "dump", "exporter", "express", "gateway",
    "gui", "init", "insight", "job", "loader", "manager", "migrate", "migration", "migrations", "migrator", "operator",
    "pooler", "proxy", "restore", "router", "seed", "seeder", "setup", "shell", "sidecar", "test", "tests", "tool",
    "tools", "ui", "viewer", "wait", "web",
})  # fmt: skip
"""Beside one of the words above: postgres-exporter is no database."""

_SAYS_NOTHING = {"db", "server"}
"""Last words that need the one before them: mcr.microsoft.com/mssql/server."""


def name_and_tag(image: str) -> tuple[str, str]:
    """Return the last word of an image's reference, and its tag."""
    name, _, tag = image.partition("@")[0].rpartition("/")[2].partition(":")
    return name, tag


def keeps_state(image: str) -> bool:
    """Tell whether an image is known to keep state; of one that only the outside knows it is not."""
    name, _ = name_and_tag(image)
    if is_from_outside(name):
        return False
    above = image.partition("@")[0].rpartition("/")[0].rpartition("/")[2]
    words = re.split(r"[^a-z0-9]+", (f"{above}-{name}" if name in _SAYS_NOTHING else name).lower())
    known = {word if word in _KEEPS_STATE else word.rstrip("0123456789") for word in words}
    return bool(known & _KEEPS_STATE) and not known & _SPEAKS_WITH_ONE
