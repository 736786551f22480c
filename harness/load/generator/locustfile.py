"""Anybody's locustfile under open arrivals: its user classes as they are, but for when they begin their next task.

An arrival is one run of a task. The first request of a task carries its delay; requests after it in the same task
follow it, and count from their own start. A task that asks for nothing is a failed arrival: it proves nothing.
"""

from __future__ import annotations

import os
import time
import traceback
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

import gevent
import locust
from locust import TaskSet, User
from locust.argument_parser import get_parser
from locust.clients import HttpSession
from locust.contrib.fasthttp import FastHttpSession
from locust.env import Environment
from locust.exception import StopTest, StopUser
from locust.util.load_locustfile import load_locustfile

from harness.errors import LoadError
from harness.history.samples import SampleOutcome
from harness.load.generator.request import Request
from harness.load.generator.users import Gate, settings_of

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable
    from pathlib import Path

    from harness.load.generator.users import RequestQueue
    from harness.load.plan import LoadPlan

NO_REQUEST = "(no request)"
"""The operation of an arrival whose task asked for nothing."""

_SEAT, _ASKED = "readiness.seat", "readiness.asked"
"""Where a request's context names its user, and the request; the keys are ours, whatever else a file puts there."""


def environment_of(plan: LoadPlan, queue: RequestQueue) -> Environment:
    """Load the plan's locustfile, and return an environment in which its users wait for arrivals.

    Raises:
        LoadError: If it does not import, or holds no user; it names the file and the line.
    """
    users = [_opened(user, plan, queue) for user in users_of(plan.locustfile)]
    queue.gate = Gate(plan.load.seats_per_s)
    environment = Environment(
        user_classes=users,
        events=locust.events,
        host=plan.base_url,
        catch_exceptions=True,
        parsed_options=options_of(plan),
    )
    environment.events.request.add_listener(_note_request)  # type: ignore[no-untyped-call]  # Locust is untyped
    return environment


def users_of(file: Path) -> list[type[User]]:
    """Return the user classes of a locustfile.

    Raises:
        LoadError: If it does not import, or holds none.
    """
    try:
        users, _shapes = load_locustfile(str(file))
    except (Exception, SystemExit) as error:
        what = f"the locustfile does not import: {type(error).__name__}: {error}"
        fix = _how_to_import(error)
        raise LoadError(what, where=f"{file}:{_line_of(error, file)}", fix=fix) from error
    if not users:
        fix = "define a class that inherits from HttpUser or FastHttpUser, and is not abstract"
        raise LoadError("the locustfile holds no user", where=str(file), fix=fix)
    return list(users.values())


def _how_to_import(error: BaseException) -> str:
    """Say how to mend what keeps a locustfile from importing."""
    frames = traceback.extract_tb(error.__traceback__)
    if isinstance(error, KeyError) and frames and frames[-1].filename in {os.__file__, "<frozen os>"}:
        name = str(error.args[0])
        return f'it gets no variable that is not named: [system.locust] variables = ["{name}"], or --variable {name}'
    return "see that `python FILE` runs with the packages of this environment"


def _line_of(error: BaseException, file: Path) -> int:
    """Return the line of `file` at which it broke."""
    if isinstance(error, SyntaxError) and error.filename == str(file):
        return error.lineno or 1
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(file)]
    return (lines[-1] if lines else None) or 1


def options_of(plan: LoadPlan) -> Namespace:
    """Return Locust's options, and those that the file adds: at their defaults, or as their variables say.

    Raises:
        LoadError: If one has neither, and must be given.
    """

    def refuse(message: str) -> NoReturn:
        fix = "give it a default, or an `env_var`, and name that in readiness.toml: [system.locust] variables"
        raise LoadError(f"the locustfile's own options: {message}", where=str(plan.locustfile), fix=fix)

    parser = get_parser(default_config_files=[])  # no locust.conf: it says how hard to press, which a scenario does
    parser.error = refuse  # type: ignore[method-assign]  # it would print, and exit
    options: Namespace = parser.parse_args([])
    options.host = plan.base_url
    return options


def _opened(user: type[User], plan: LoadPlan, queue: RequestQueue) -> type[User]:
    """Return `user` under open arrivals; time-outs that its file says stay, Locust's own 60 s do not."""
    settings = settings_of(plan, queue) | {
        "answer_within": (plan.connect_within_s, plan.answer_within_s),
        "believed": plan.ca,
    }
    for name in ("connection_timeout", "network_timeout"):
        if any(name in vars(each) for each in _own_classes(user)):
            del settings[name]
    if any(name in vars(each) for each in _own_classes(user) for name in ("insecure", "ssl_context_factory")):
        del settings["insecure"], settings["ssl_context_factory"]
    for task in user.tasks:
        _wait_as_the_user_does(task)
    return type(user.__name__, (_OpenLoop, user), settings)


def _own_classes(user: type[User]) -> list[type]:
    """Return the classes of a file that a user is made of, but for Locust's own."""
    return [each for each in user.__mro__ if each.__module__.partition(".")[0] != "locust"]


def _wait_as_the_user_does(task: Any) -> None:
    """Let task sets, and those inside them, not wait by themselves."""
    if isinstance(task, type) and issubclass(task, TaskSet):
        task.wait_time = TaskSet.wait_time  # type: ignore[method-assign]  # the file may have replaced it
        for inner in task.tasks:
            _wait_as_the_user_does(inner)


class _OpenLoop:
    """What is laid over a user class: the wait for arrivals, and the account of what it asked."""

    _is_seated = False
    queue: ClassVar[RequestQueue]
    answer_within: ClassVar[tuple[float, float]]
    believed: ClassVar[str | None]
    client: Any

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)  # type: ignore[call-arg]  # the next class is a User
        self._arrival: Request | None = None
        self._asked: list[Request] = []
        self._failed: dict[str, str] = {}
        if hasattr(self, "client") and isinstance(self.client, HttpSession | FastHttpSession):
            self.client.request = self._noticing(self.client.request)  # type: ignore[method-assign]  # Locust has no other place for it

    def on_start(self) -> None:
        """Prepare as the class says, outside the schedule; then wait: Locust does not before a user's first task."""
        with self.queue.gate.entered():
            try:
                super().on_start()  # type: ignore[misc]  # the next class is a User
            except (StopUser, StopTest) as error:  # of which Locust tells nobody
                self._tell(f"{type(error).__name__} in on_start")
                raise
        self.queue.unprepared += [f"{name}: {said}" for name, said in self._failed.items()][:1]
        self.queue.seated += 1
        self.wait_time()

    def on_stop(self) -> None:
        """Clean up as the class says, when all is accounted for; one that leaves earlier leaves its seat empty."""
        self._is_seated = False
        if not self.queue.is_over:
            self._close()
            self._tell("it stopped itself (StopUser) while the load was on, and its seat stays empty")
        try:
            super().on_stop()  # type: ignore[misc]  # the next class is a User
        except Exception as error:
            self._tell(f"{type(error).__name__} in on_stop: {error}")
            raise

    def wait_time(self) -> float:
        """End one arrival, and block until there is another."""
        self._close()
        idle_since = time.monotonic()
        arrival = self.queue.take()
        arrival.key, arrival.operation = -1, NO_REQUEST
        arrival.free_s = idle_since - self.queue.origin_s
        arrival.sent_s = self.queue.now_s()
        self._arrival, self._is_seated = arrival, True
        return 0.0

    def context(self) -> dict[str, Any]:
        """Name this user in each of its requests."""
        return {**super().context(), _SEAT: self}  # type: ignore[misc]  # the next class is a User

    def ask(self, name: str) -> Request | None:
        """Notice that a request begins; what is asked before and after the load is none of it."""
        if not self._is_seated or self.queue.is_over:
            return None
        request = self._next(name, self.queue.now_s())
        self._asked.append(request)
        return request

    def answer(self, name: str, took_s: float, outcome: SampleOutcome, response: object, asked: Request | None) -> None:
        """Write down a request that has ended: the one that was `asked`, where its client says which."""
        if not self._is_seated or self.queue.is_over:
            return
        now_s = self.queue.now_s()
        if asked not in self._asked:
            if not self._asked:
                self._asked.append(self._next(name, now_s - took_s))  # of a client that says so only when it ends
            asked = self._asked[0]
        self._asked.remove(asked)
        asked.operation = name
        seen = response if hasattr(response, "status_code") and hasattr(response, "headers") else None
        self.queue.write_down(asked, outcome, seen, ended_s=min(now_s, asked.sent_s + took_s))

    def has_prepared(self, name: str, exception: object) -> None:
        """Hear how a request ended that came before the load: the last of each name counts, as one may try again."""
        if exception is None:
            self._failed.pop(name, None)
        elif not self._is_seated:
            self._failed[name] = f"{type(exception).__name__}: {exception}"

    def _tell(self, what: str) -> None:
        """Note what went wrong outside of all requests."""
        if self.queue.recorder is not None:
            self.queue.recorder.client_error(f"{type(self).__name__}: {what}")

    def _next(self, name: str, began_s: float) -> Request:
        """Return the arrival, for the first request of a task; for any after it, one that follows."""
        if self._arrival is not None:
            arrival, self._arrival = self._arrival, None
            return arrival
        request = Request(began_s, -1, name, free_s=began_s, sent_s=began_s, is_arrival=False)
        self.queue.taken[id(request)] = request
        self.queue.follow_ups += 1
        return request

    def _close(self) -> None:
        """End a task: what it began and never reported has failed."""
        left = [*self._asked, *([self._arrival] if self._arrival else [])]
        self._asked, self._arrival = [], None
        for request in left:
            self.queue.write_down(request, SampleOutcome.FAILED)

    def _noticing(self, send: Callable[..., Any]) -> Callable[..., Any]:
        is_patient = isinstance(self.client, HttpSession)  # requests, which by default waits for ever
        if isinstance(self.client, HttpSession) and self.client.verify is True and self.believed:
            self.client.verify = self.believed

        def request(method: Any, url: Any, *rest: Any, **options: Any) -> Any:
            asked = self.ask(str(options.get("name") or url))
            # One may be asked inside another's `with`, and answered before it: each answer brings its own request back.
            options["context"] = {**(options.get("context") or {}), _ASKED: asked}
            if is_patient:
                options.setdefault("timeout", self.answer_within)
            return send(method, url, *rest, **options)

        return request


def _note_request(
    *, name: str, response_time: float | None, exception: object, context: Any, response: object = None, **_rest: Any
) -> None:
    """Hear of a request that has ended; its context names its user, or the greenlet that it ended in does."""
    told = context or {}
    user = told.get(_SEAT) or next(iter(getattr(gevent.getcurrent(), "args", ())), None)
    if isinstance(user, _OpenLoop):
        user.has_prepared(str(name), exception)
        outcome = _outcome(user.queue, response, exception)
        user.answer(str(name), (response_time or 0.0) / 1000, outcome, response, told.get(_ASKED))


def _outcome(queue: RequestQueue, response: object, exception: object) -> SampleOutcome:
    """Return what came of a request: of one that this machine could not send, whatever its task makes of that.

    What has a status was answered, whatever its task met before.
    """
    if not getattr(response, "status_code", 0):
        for error in (getattr(response, "error", None), exception):
            if isinstance(error, BaseException) and queue.outcome_of(error) is SampleOutcome.PREVENTED:
                return SampleOutcome.PREVENTED
    return SampleOutcome.OK if exception is None else SampleOutcome.FAILED
