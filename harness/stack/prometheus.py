"""What a Prometheus has collected of the judged service, by its HTTP API.

Prometheus collects now and then, and answers a query for a while with what it collected last, so that an answer may be
older than the moment that is asked about. So what is asked for are the samples themselves, by an instant query of a
range, with the times at which they were collected; and those are compared with Prometheus' own clock, so that no two
clocks have to agree. What it has no sample of is unknown, and never zero.

Source: Prometheus 3, "HTTP API", Instant queries, and "Querying basics", Range vector selectors.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import httpx

from harness.stack.http_client import get_url

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from harness.spec.external import Prometheus
    from harness.spec.sometimes import Measured

ANSWER_WITHIN_S = 2.0
"""Whoever does not answer is asked again soon."""

_WRONG = (KeyError, TypeError, ValueError, IndexError, AttributeError)


class UnreadError(Exception):
    """A query was not answered; the text says why, in a clause."""


class PrometheusSource:
    """What a Prometheus says of points since it was first asked. Implements `Source`.

    Args:
        told: Where it is, and what is the service's there.
        token: Its bearer token, which is written nowhere; None for none.
    """

    every_s = 1.0
    """Prometheus collects every 15 s or so, so that more often shows nothing more."""

    def __init__(self, told: Prometheus, token: str | None = None) -> None:
        self._told = told
        self._headers = {"Authorization": f"Bearer {token}"} if token else None
        self._seen_s: float | None = None
        self._newest_s: dict[tuple[int, str], float] = {}
        self._why: dict[int, str] = {}

    def read(self, points: Sequence[Measured]) -> Iterator[tuple[int, str, float]]:
        """Yield what was collected since the first reading, and not yielded yet: which point, whose, and the value."""
        self._why.clear()
        try:
            now_s = self._time_s()
        except UnreadError as error:
            self._why = dict.fromkeys(range(len(points)), f"prometheus: {error}")
            return
        if self._seen_s is None:
            self._seen_s = now_s
        for index, point in enumerate(points):
            yield from self._read_point(index, point, now_s - self._seen_s)

    def why_nothing(self, index: int) -> str:
        """Say why the last reading told nothing of a point."""
        return self._why.get(index, "")

    def _read_point(self, index: int, point: Measured, since_s: float) -> Iterator[tuple[int, str, float]]:
        selector = selector_of(point.metric, {**self._told.labels, **point.labels})
        try:
            collected = self._collected(f"{selector}[{max(1, math.ceil(since_s))}s]")
        except UnreadError as error:
            self._why[index] = f"prometheus: {error}"
            return
        self._why[index] = f"prometheus: it has collected no {selector} since the phase began"
        for at_s, replica, value in collected:
            if at_s > max(self._seen_s or 0.0, self._newest_s.get((index, replica), 0.0)):
                self._newest_s[index, replica] = at_s
                yield index, replica, value

    def _collected(self, query: str) -> list[tuple[float, str, float]]:
        """Return what was collected, in order of time: when, of which replica, and the sum of its series."""
        sums: defaultdict[tuple[float, str], list[float]] = defaultdict(list)
        try:
            for series in self._asked(query, "matrix"):
                replica = str(series["metric"].get(self._told.replica, "it"))
                for at_s, value in series["values"]:
                    sums[float(at_s), replica].append(float(value))
        except _WRONG as error:
            raise UnreadError("it answers something else than Prometheus' API") from error
        whole = [(at_s, replica, math.fsum(values)) for (at_s, replica), values in sorted(sums.items())]
        return [each for each in whole if not math.isnan(each[2])]

    def _time_s(self) -> float:
        try:
            return float(self._asked("time()", "scalar")[1])
        except _WRONG as error:
            raise UnreadError("it answers something else than Prometheus' API") from error

    def _asked(self, query: str, kind: str) -> Any:
        """Return the result of an instant query.

        Raises:
            UnreadError: If it is not answered, or by something else.
        """
        url = f"{self._told.address}/api/v1/query?{urlencode({'query': query})}"
        try:
            answer = get_url(url, within_s=ANSWER_WITHIN_S, headers=self._headers)
        except httpx.HTTPError as error:
            raise UnreadError(f"{self._told.address} does not answer ({type(error).__name__})") from error
        said = _object_in(answer)
        if said.get("status") != "success":
            why = f": {said['error']}" if isinstance(said.get("error"), str) else ""
            raise UnreadError(f"it answers {answer.status_code}{why}")
        data = said.get("data")
        if not isinstance(data, dict) or data.get("resultType") != kind:
            raise UnreadError("it answers something else than Prometheus' API")
        return data.get("result")


def selector_of(metric: str, labels: Mapping[str, str]) -> str:
    """Return the selector of a metric's series, with its values quoted as PromQL quotes them, which is as JSON does."""
    said = ", ".join(f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in labels.items())
    return f"{metric}{{{said}}}" if said else metric


def _object_in(answer: httpx.Response) -> dict[str, Any]:
    try:
        said = answer.json()
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}
