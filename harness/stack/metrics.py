"""What the judged replicas say of themselves: their metrics, as Prometheus would collect them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import httpx
from prometheus_client.parser import text_string_to_metric_families

from harness.stack.http_client import get

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from prometheus_client.samples import Sample

    from harness.stack.service import Address

ANSWER_WITHIN_S = 1.0
"""Who is dead or slow is asked again soon; nothing waits for him."""


def exposed(address: Address, path: str) -> tuple[Sample, ...]:
    """Return all samples that a replica exposes; none if it does not answer, or answers something else."""
    try:
        answer = _asked(address, path)
        return tuple(_samples(answer.text)) if answer.status_code == httpx.codes.OK else ()
    except (httpx.HTTPError, ValueError):  # ValueError: this is no exposition
        return ()


def why_unread(address: Address, path: str) -> str:
    """Say why a replica exposes nothing, in a clause; nothing if it does."""
    try:
        answer = _asked(address, path)
        if answer.status_code != httpx.codes.OK:
            return f"GET {path} answers {answer.status_code}"
        return "" if tuple(_samples(answer.text)) else f"GET {path} answers no metrics"
    except httpx.HTTPError as error:
        return f"GET {path} is not answered ({type(error).__name__})"
    except ValueError:
        return f"GET {path} answers something else than Prometheus' text format"


def _asked(address: Address, path: str) -> httpx.Response:
    """Return the answer, or that of the place on the same replica to which it leads: `/metrics` is often `/metrics/`.

    Raises:
        httpx.HTTPError: If there is none.
    """
    answer = get(address, path, within_s=ANSWER_WITHIN_S)
    there = httpx.URL(answer.headers.get("location", ""))
    if not answer.has_redirect_location or (there.host and there.netloc.decode() != str(address)):
        return answer
    return get(address, there.raw_path.decode(), within_s=ANSWER_WITHIN_S)


def value_of(samples: tuple[Sample, ...], metric: str, labels: Mapping[str, str]) -> float | None:
    """Return the sum of the samples called `metric` that carry `labels`; None if there is none."""
    values = [each.value for each in samples if each.name == metric and labels.items() <= each.labels.items()]
    return math.fsum(values) if values else None


def _samples(text: str) -> Iterator[Sample]:
    for family in text_string_to_metric_families(text):
        yield from family.samples
