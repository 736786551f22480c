"""One run of the load: seats, arrivals in time, the drain, and an account of what is left."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

import gevent
import locust.log
import numpy as np
from locust.env import Environment

from harness.errors import LoadError
from harness.history.load import OVERDUE_AFTER_S
from harness.history.samples import SampleOutcome
from harness.load.dripping import Drips
from harness.load.filling import ANONYMOUS
from harness.load.generator.accepting import accepting
from harness.load.generator.checking import checks_of
from harness.load.generator.control import Control, computing
from harness.load.generator.lean import LeanUser
from harness.load.generator.locustfile import NO_REQUEST, environment_of
from harness.load.generator.memory import memories_of
from harness.load.generator.own import own_echoes_of
from harness.load.generator.pacing import sleeper
from harness.load.generator.recorder import Recorder
from harness.load.generator.request import Request
from harness.load.generator.slow import held_until, slow_clients
from harness.load.generator.users import OpenUser, RequestQueue, settings_of
from harness.load.plan import LEAVE_WITHIN_S
from harness.load.recording import RawWriter
from harness.load.retrying import policy_of
from harness.spec.faults import SlowReaders

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from harness.history.load import Heartbeat, LoadTally
    from harness.load.arrivals import ArrivalSchedule
    from harness.load.filling import Clients
    from harness.load.plan import Assignment, LoadPlan
    from harness.spec.faults.traffic import TrafficWindow

FLUSHED_EVERY_S = 1.0
SEATED_EVERY_S = 1.0
_DRAIN_POLL_S = 0.01
_ORDER_POLL_S = 0.25


class Generator:
    """One run."""

    def __init__(
        self,
        plan: LoadPlan,
        folder: Path,
        clients: Clients = ANONYMOUS,
        on_beat: Callable[[Heartbeat], object] = lambda _beat: None,
        on_seated: Callable[[int, int], object] = lambda _seated, _of: None,
    ) -> None:
        self.plan = plan
        self.clients = clients
        self.schedule = plan.arrivals()
        self.queue = RequestQueue(
            retrying=policy_of(plan.traffic, plan.load),
            ends_s=plan.lasts_s,
            checks=checks_of(plan.load.asked, plan.mark, clients),
        )
        raw = RawWriter(folder, plan.told_apart)
        self._names = tuple(request.name for request in plan.load.asked) or (NO_REQUEST,)
        for name in self._names:  # numbered before any answer comes, whichever is the first to
            raw.operations.index(name)
        memories = memories_of(plan.load.asked, plan.mark, clients) if plan.remembers else {}
        own = own_echoes_of(plan.load.asked, plan.mark, clients) if plan.compares_echoes else {}
        named = accepting(plan.load.asked) if plan.keeps_accepted else {}
        self.recorder = Recorder(raw, plan.load.told, memories, own, named)
        self.queue.recorder = self.recorder
        self.issued = 0
        self.lasts_s = plan.lasts_s
        self._schedules = [self.schedule]
        self._issuing: list[gevent.Greenlet] = []
        self._computing: list[gevent.Greenlet] = []
        self._computing_port: int | None = None
        self._slow: dict[str, Drips] = {}
        self._on_beat = on_beat
        self._on_seated = on_seated
        self._said_issued = self._said_planned = self._overdue = 0
        self._runner: Any = None
        self._folder = folder

    def seat_users(self) -> None:
        """Spawn as many users as requests may be in flight; they wait for requests, which costs nothing.

        Raises:
            LoadError: If a locustfile does not import, or its users do not start.
        """
        environment = self._environment()
        environment.events.user_error.add_listener(self._note_error)  # type: ignore[no-untyped-call]  # Locust is untyped
        self._runner = environment.create_local_runner()
        environment.events.init.fire(  # type: ignore[no-untyped-call]  # Locust is untyped
            environment=environment, runner=self._runner, web_ui=None
        )
        most = places_of(environment.user_classes)
        seats = int(min(self.plan.load.max_in_flight, max(1, len(self.schedule)), most))
        self._runner.start(seats, spawn_rate=seats)
        told, told_s = 0, time.monotonic()
        while self.queue.seated < seats:
            self.recorder.check_seated()
            self._check_that_all_come(seats)
            gevent.sleep(0.005)
            if self.queue.seated > told and time.monotonic() - told_s > SEATED_EVERY_S:
                told, told_s = self.queue.seated, time.monotonic()
                self._on_seated(told, seats)
        self._check_prepared(seats)

    def _check_that_all_come(self, seats: int) -> None:
        """See that no user has ended before it was seated, whatever ended it.

        Raises:
            LoadError: If one has.
        """
        living = int(self._runner.user_count)
        if self._runner.spawning_greenlet.ready() and living < seats:
            self.recorder.check_seated()  # which knows why, if it was an exception
            what = f"{seats - living} of {seats} users ended before they were seated"
            raise LoadError(what, where="on_start", fix="see what it does, and what the log of the load says of it")

    def _check_prepared(self, seats: int) -> None:
        """See that users are as their on_start was to leave them, before anything rests on it.

        Raises:
            LoadError: If something failed of it in the end, or a listener of an event did.
        """
        failed = self.queue.unprepared
        if failed:
            what = f"what on_start asks failed for {len(failed)} of {seats} users; the first: {failed[0]}"
            fix = "see what the service says to it; `load.seats_per_s` lets them come more slowly"
            raise LoadError(what, where="on_start", fix=fix)
        if locust.log.unhandled_greenlet_exception:
            fix = "see what the log of the load says of it"
            raise LoadError("a listener of the locustfile raised before the load", where="its events", fix=fix)

    def _environment(self) -> Environment:
        if self.plan.load.locustfile is not None:
            return environment_of(self.plan, self.queue)
        kind = LeanUser if self.plan.load.client == "lean" else OpenUser
        prepared = kind.prepared(self.plan, self.clients)
        user = type("DeclaredUser", (kind,), settings_of(self.plan, self.queue) | prepared)
        return Environment(user_classes=[user], catch_exceptions=True)

    def unseat_users(self) -> None:
        """Let all users go."""
        self._runner.quit()

    def press(
        self,
        begins_s: float,
        *,
        overhead_p95_s: float | None = None,
        control_port: int | None = None,
        computing_port: int | None = None,
    ) -> LoadTally:
        """Issue every request when its time comes, then drain, and account for what is left.

        Args:
            begins_s: The origin, a moment of the monotonic clock.
            control_port: Where a server that does nothing is asked meanwhile; None for no control.
            computing_port: Where another one is asked to compute, from when `compute` says for how long.
            overhead_p95_s: For the tally: what the generator adds by itself.

        Raises:
            LoadError: If the samples cannot be written.
            LoadError: If a request was lost.
        """
        self.queue.origin_s = begins_s
        beats = gevent.spawn(self._beat_each_second)
        control = Control(control_port, self.recorder.control) if control_port else None
        self._computing_port = computing_port
        asking = [gevent.spawn(control.ask_from, begins_s)] if control else []
        slow = [gevent.spawn(self._hold_slow, window) for window in self._slow_windows()]
        self._issuing.append(gevent.spawn(self._issue, self.schedule))
        while any(not issuing.dead for issuing in self._issuing):  # there may be more of them by then
            # What breaks the beats, such as a full disk, breaks us; they never end by themselves.
            gevent.joinall([*self._issuing, beats], raise_error=True, count=len(self._issuing))
        gevent.killall([*asking, *self._computing, *slow])
        self._drain()
        beats.kill()
        self._write_down_the_rest()
        self._beat()
        issued = self.issued + self.queue.follow_ups
        tally = self.recorder.tally(planned=self._planned_until(math.inf), issued=issued, overhead_p95_s=overhead_p95_s)
        if not tally.is_whole:
            fix = "this is a bug of ours; keep the folder, and tell us"
            raise LoadError(f"requests were lost: {tally}", where=str(self._folder), fix=fix)
        return tally

    def leave(self, tally: LoadTally, on_second: Callable[[], object]) -> LoadTally:
        """Let a locustfile clean up, in Locust's order; return the account, with what broke of that.

        Args:
            tally: Of the load, which is over: nothing that is asked now is a part of it.
            on_second: Called each second meanwhile.
        """
        if self.plan.load.locustfile is None:
            return tally
        self.queue.is_over = True
        telling = gevent.spawn(_each_second, on_second)
        events, environment = self._runner.environment.events, self._runner.environment
        try:
            with gevent.Timeout(LEAVE_WITHIN_S):
                events.quitting.fire(environment=environment, reverse=True)
                self._runner.quit()
                events.quit.fire(exit_code=0)
        except gevent.Timeout:
            what = f"on_stop, test_stop and quitting were not done within {LEAVE_WITHIN_S:g} s, and were broken off"
            self.recorder.client_error(what)
        telling.kill()
        if locust.log.unhandled_greenlet_exception:
            self.recorder.client_error("a listener of the locustfile raised: see the log of the load")
        return self.recorder.with_errors(tally)

    def end_at(self, lasts_s: float) -> None:
        """Let no request start at or after this, seconds since the origin; what was issued already stays."""
        self.lasts_s = self.queue.ends_s = min(self.lasts_s, lasts_s)

    def compute(self, compute_s: float) -> None:
        """Let a part of the control compute for `compute_s` a request from now on."""
        if self._computing_port is not None:
            control = computing(self._computing_port, compute_s, self.recorder.computed)
            gevent.killall(self._computing)
            self._computing = [gevent.spawn(control.ask_from, time.monotonic())]

    def take_over(self, assignment: Assignment) -> None:
        """Send a part of what another generator would have sent, beside one's own."""
        schedule = assignment.arrivals(self.plan)
        self._schedules.append(schedule)
        self._issuing.append(gevent.spawn(self._issue, schedule))

    def _issue(self, schedule: ArrivalSchedule) -> None:
        begins_s, sleep_until = self.queue.origin_s, sleeper()
        for intended_s, key, kind, number, patience_s in schedule:
            # A schedule may pause for minutes, and an order to end must not wait for its next request.
            while self.queue.now_s() < min(intended_s, self.lasts_s):
                sleep_until(begins_s + min(intended_s, self.lasts_s, self.queue.now_s() + _ORDER_POLL_S))
            if intended_s >= self.lasts_s:
                break
            request = Request(
                intended_s,
                key,
                self._names[kind],
                found_room=self.queue.has_room,
                kind=kind,
                number=number,
                patience_s=patience_s,
            )
            self.queue.waiting.put(request)
            self.issued += 1
            self._overdue += self.queue.now_s() - intended_s > OVERDUE_AFTER_S
        while self.queue.now_s() < self.lasts_s:
            sleep_until(begins_s + min(self.lasts_s, self.queue.now_s() + _ORDER_POLL_S))

    def _slow_windows(self) -> list[TrafficWindow]:
        return [window for window in self.plan.traffic if isinstance(window.fault, SlowReaders)]

    def _hold_slow(self, window: TrafficWindow) -> None:
        """Hold the slow connections of a fault for as long as it is there, or the load is."""
        fault, drips = window.fault, self._slow.setdefault(window.id, Drips())
        if isinstance(fault, SlowReaders):
            sleep_until, begins_s = sleeper(), self.queue.origin_s
            slow = slow_clients(self.plan, fault, drips, self.clients)
            sleep_until(begins_s + window.starts_s)
            held_until(lambda: sleep_until(begins_s + window.ends_s), slow)

    def _drain(self) -> None:
        """Wait for answers, but not for ever: a service that hangs must not look like one that was not asked."""
        until_s = self.queue.now_s() + self.plan.load.drain
        while (self.queue.taken or self.queue.waiting.qsize()) and self.queue.now_s() < until_s:
            gevent.sleep(_DRAIN_POLL_S)

    def _write_down_the_rest(self) -> None:
        """Write down what never ended and what was never sent; from here to the end nothing else may run."""
        ended_s = self.queue.now_s()
        for request in self.queue.taken.values():
            outcome = SampleOutcome.NOT_SENT if math.isnan(request.sent_s) else SampleOutcome.UNFINISHED
            self.recorder.record(request, outcome, ended_s=ended_s)
        while self.queue.waiting.qsize():
            self.recorder.record(self.queue.waiting.get_nowait(), SampleOutcome.NOT_SENT, ended_s=ended_s)

    def _planned_until(self, at_s: float) -> int:
        until_s = min(at_s, self.lasts_s)
        return sum(int(np.searchsorted(schedule.intended_s, until_s)) for schedule in self._schedules)

    def _beat_each_second(self) -> None:
        sleep_until = sleeper()
        second = 0.0
        while True:
            second += FLUSHED_EVERY_S
            sleep_until(self.queue.origin_s + second)
            self._beat()

    def _beat(self) -> None:
        at_s = self.queue.now_s()
        planned = self._planned_until(at_s)
        beat = self.recorder.beat(
            at_s,
            issued=self.issued - self._said_issued,
            in_flight=len(self.queue.taken),
            backlog=self.queue.waiting.qsize(),
            planned=max(0, planned - self._said_planned),  # fewer, if the load was told to end meanwhile
            overdue=self._overdue,
            slow=tuple((name, *drips.tell()) for name, drips in self._slow.items()) or None,
        )
        self._said_issued, self._said_planned, self._overdue = self.issued, planned, 0
        self._on_beat(beat)

    def _note_error(self, user_instance: object, exception: BaseException, **_rest: object) -> None:
        """Note what a user raised that was not the outcome of a request; Locust itself logs it and goes on."""
        self.recorder.client_error(f"{type(user_instance).__name__}: {type(exception).__name__}: {exception}")


def places_of(users: Sequence[Any]) -> float:
    """Return how many users there can be of these classes: where each has a fixed count, no more than all of these."""
    counts = [user.fixed_count for user in users]
    return sum(counts) if all(counts) else math.inf


def _each_second(call: Callable[[], object]) -> None:
    while True:
        gevent.sleep(FLUSHED_EVERY_S)
        call()
