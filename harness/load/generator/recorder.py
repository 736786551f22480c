"""Writing down what came of each request, exactly, and a line a second for people."""

from __future__ import annotations

import math
import struct
import time
from array import array
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.errors import LoadError
from harness.history.histogram import histogram_of
from harness.history.load import Heartbeat, LoadTally
from harness.history.operations import NO_VERSION
from harness.history.samples import RECORD, SampleOutcome
from harness.load.generator.accepting import accepted_id

if TYPE_CHECKING:
    from collections.abc import Mapping

    from harness.load.generator.memory import Memory
    from harness.load.generator.own import OwnEchoes
    from harness.load.generator.request import Request
    from harness.load.recording import RawWriter
    from harness.spec.requests import ResponseHeaders

_PACKED = struct.Struct("<dddqiHBBBBBB")
if _PACKED.size != RECORD.itemsize:
    raise ImportError(f"a packed record has {_PACKED.size} bytes, RECORD {RECORD.itemsize}")

_VERSION_MAX = 2**63 - 1
_NEVER_SENT = (SampleOutcome.NOT_SENT, SampleOutcome.PREVENTED)
_NONE: Mapping[int, Memory] = MappingProxyType({})
_NONE_ACCEPTED: Mapping[int, str] = MappingProxyType({})
_NO_ECHOES: Mapping[int, OwnEchoes] = MappingProxyType({})


class Recorder:
    """Counts and keeps every request of one run.

    Args:
        raw: Where it keeps them.
        told: The headers that tell where an answer came from.
        memories: How the requests are remembered that are, by their kind.
        own: What answers must say of whose they are, by the kind of their request.
        accepting: Where answers name what they accept, by the kind of their request.
    """

    def __init__(
        self,
        raw: RawWriter,
        told: ResponseHeaders,
        memories: Mapping[int, Memory] = _NONE,
        own: Mapping[int, OwnEchoes] = _NO_ECHOES,
        accepting: Mapping[int, str] = _NONE_ACCEPTED,
    ) -> None:
        self._raw = raw
        self._memories = memories
        self._own = own
        self._accepting = accepting
        self._cache, self._replica, self._version = (
            (name or "").lower() for name in (told.cache, told.replica, told.version)
        )
        self.counts = dict.fromkeys(SampleOutcome, 0)
        self._lags_s = array("d")
        self._waits_s = array("d")
        self._client_errors: list[str] = []
        self._short_of: str | None = None
        self._second = _Second()
        self._cpu_began_s = time.process_time()
        self._began_s = time.monotonic()
        _p99(array("d", [0.0]))  # numpy loads a part of itself then, which it could not when no descriptor is left

    def record(self, request: Request, outcome: SampleOutcome, response: Any = None, *, ended_s: float) -> None:
        """Write one request down; `response` is None if there was none, `ended_s` is since the origin."""
        headers = response.headers if response is not None and response.headers is not None else {}
        was_sent = outcome not in _NEVER_SENT
        latency_s = ended_s - request.intended_s
        version = _version(headers.get(self._version))
        self._raw.append(
            _PACKED.pack(
                request.intended_s,
                request.sent_s if was_sent else math.nan,
                latency_s,
                version,
                request.key,
                response.status_code if response is not None else 0,
                self._raw.operations.index(request.operation),
                self._raw.sources.index(headers.get(self._cache) or ""),
                self._raw.replicas.index(headers.get(self._replica) or ""),
                outcome,
                request.is_impatient,
                request.attempt,
            )
        )
        self.counts[outcome] += 1
        self._second.add(outcome, latency_s)
        if self._memories and was_sent and (memory := self._memories.get(request.kind)):
            number = sum(self.counts.values()) - 1
            self._raw.remember(
                memory.operation(request, outcome, response, ended_s=ended_s, version=version, sample=number)
            )
        if self._own and was_sent and (own := self._own.get(request.kind)):
            number = sum(self.counts.values()) - 1
            self._raw.echo(own.record(request, outcome, response, sample=number, index_of=self._raw.told.index))
        if self._accepting and (pointer := self._accepting.get(request.kind)) is not None:
            called = accepted_id(pointer, outcome, response)
            if called is not None:
                self._raw.accept(sum(self.counts.values()) - 1, request.number, called)
        if was_sent and request.is_arrival:
            self._lags_s.append(request.lag_s)
            self._waits_s.append(request.wait_s)
            self._second.lag_max_s = max(self._second.lag_max_s, self._lags_s[-1])

    def control(self, latency_s: float) -> None:
        """Note how long a request of the control took."""
        self._second.controls_s.append(round(latency_s, 6))

    def computed(self, asked_s: float, latency_s: float) -> None:
        """Note how long a request of the control took that computed for `asked_s`."""
        self._second.computed = (*(self._second.computed or ()), (round(asked_s, 6), round(latency_s, 6)))

    def client_error(self, said: str) -> None:
        """Note an exception that is not the outcome of a request."""
        self._client_errors.append(said)

    def is_short_of(self, what: str) -> None:
        """Note what this machine was short of when a request was to be sent: one of `SHORTAGES`."""
        self._short_of = self._short_of or what

    def with_errors(self, tally: LoadTally) -> LoadTally:
        """Return an account with what went wrong outside of all requests by now."""
        return replace(
            tally, client_errors=len(self._client_errors), client_error=next(iter(self._client_errors), None)
        )

    def check_seated(self) -> None:
        """See that no user broke while it was being seated.

        Raises:
            LoadError: If one did.
        """
        if self._client_errors:
            what = f"a user did not start: {self._client_errors[0]}"
            raise LoadError(what, where="on_start", fix="see that the service is up, and what on_start does")

    def beat(
        self,
        at_s: float,
        *,
        issued: int,
        in_flight: int,
        backlog: int,
        planned: int,
        overdue: int,
        slow: tuple[tuple[str, int, int, int], ...] | None = None,
    ) -> Heartbeat:
        """End a second: keep what is held, and say how it went."""
        self._raw.flush()
        second, self._second = self._second, _Second()
        latencies = histogram_of(second.latencies_s)
        return Heartbeat(
            at_s=round(at_s, 3),
            issued=issued,
            ok=second.ok,
            failed=second.failed,
            in_flight=in_flight,
            backlog=backlog,
            p95_s=latencies.quantile_s(0.95),
            lag_max_s=second.lag_max_s,
            cpu_ratio=(time.process_time() - second.cpu_began_s) / max(1e-9, time.monotonic() - second.began_s),
            planned=planned,
            overdue=overdue,
            latencies=str(latencies),
            controls_s=tuple(second.controls_s),
            computed=second.computed,
            slow=slow,
        )

    def tally(self, *, planned: int, issued: int, overhead_p95_s: float | None) -> LoadTally:
        """Account for the whole run."""
        self._raw.flush()
        return LoadTally(
            planned=planned,
            issued=issued,
            ok=self.counts[SampleOutcome.OK],
            failed=self.counts[SampleOutcome.FAILED],
            unfinished=self.counts[SampleOutcome.UNFINISHED],
            not_sent=self.counts[SampleOutcome.NOT_SENT],
            lag_p99_s=_p99(self._lags_s),
            cpu_ratio=(time.process_time() - self._cpu_began_s) / max(1e-9, time.monotonic() - self._began_s),
            wait_p99_s=_p99(self._waits_s),
            overhead_p95_s=overhead_p95_s,
            client_errors=len(self._client_errors),
            client_error=next(iter(self._client_errors), None),
            cancelled=self.counts[SampleOutcome.CANCELLED],
            prevented=self.counts[SampleOutcome.PREVENTED],
            short_of=self._short_of,
        )


class _Second:
    """One second's figures, for the heartbeat."""

    def __init__(self) -> None:
        self.ok = 0
        self.failed = 0
        self.lag_max_s = 0.0
        self.cpu_began_s = time.process_time()
        self.began_s = time.monotonic()
        self.controls_s: list[float] = []
        self.computed: tuple[tuple[float, float], ...] | None = None
        self.latencies_s = array("d")

    def add(self, outcome: SampleOutcome, latency_s: float) -> None:
        if outcome in (SampleOutcome.CANCELLED, SampleOutcome.PREVENTED):  # none of its server's failures
            return
        self.ok += outcome is SampleOutcome.OK
        self.failed += outcome is not SampleOutcome.OK
        self.latencies_s.append(latency_s)


def _p99(delays_s: array[float]) -> float:
    return float(np.quantile(delays_s, 0.99)) if delays_s else 0.0


def _version(text: str | None) -> int:
    """Return the version that an answer names; an answer that says nonsense names none."""
    try:
        version = int(text) if text else NO_VERSION
    except ValueError:
        return NO_VERSION
    return version if 0 <= version <= _VERSION_MAX else NO_VERSION
