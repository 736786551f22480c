"""What a project may use, by its traces: components, and what is common and cannot be started here."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from harness.stack.component import Traces
from harness.stack.components import COMPONENTS

if TYPE_CHECKING:
    from collections.abc import Mapping

STRANGERS: Mapping[str, Traces] = {
    "mongodb": Traces(
        packages=("pymongo", "motor", "mongoengine", "beanie", "mongodb", "mongoose", "go.mongodb.org/mongo-driver"),
        images=("mongo", "mongodb", "mongodb-community-server", "ferretdb"),
    ),
    "kafka": Traces(
        packages=(
            "kafka-python", "confluent-kafka", "aiokafka", "kafkajs", "node-rdkafka",
            "github.com/segmentio/kafka-go", "github.com/IBM/sarama",
        ),
        images=("kafka", "redpanda", "cp-kafka"),
    ),
    "elasticsearch": Traces(
        packages=("elasticsearch", "opensearch-py", "@elastic/elasticsearch", "github.com/elastic/go-elasticsearch"),
        images=("elasticsearch", "opensearch"),
    ),
    "s3": Traces(packages=("boto3", "minio", "@aws-sdk/client-s3"), images=("minio", "localstack")),
}  # fmt: skip
"""Known by name, so that a reader hears that they are not hurt."""

KNOWN: Mapping[str, Traces] = {**{kind: each.traces for kind, each in COMPONENTS.items()}, **STRANGERS}

_PLACEHOLDER = re.compile(r"\{(\w+)\}")


def kind_of_image(name: str) -> str | None:
    """Return what an image is, by its name without registry and tag; None if it is not known."""
    return next((kind for kind, traces in KNOWN.items() if name in traces.images), None)


def meaning_of(name: str, value: str) -> tuple[str, str] | None:
    """Return the kind that a variable belongs to, and what it gets; None if its name says nothing.

    `DATABASE_URL` is another one's if its value says so.
    """
    scheme = value.partition("://")[0] if "://" in value else ""
    for kind, component in COMPONENTS.items():
        for pattern, given in component.traces.variables.items():
            if re.fullmatch(pattern, name) and scheme.startswith(component.traces.scheme if scheme else ""):
                return kind, _PLACEHOLDER.sub(rf"{{{kind}.\1}}", given)
    return None
