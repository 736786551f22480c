"""What every component must keep: it starts, is known, can be hurt and comes back, and leaves nothing."""

from __future__ import annotations

import re
import secrets
import tempfile
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from harness.clock import SystemClock
from harness.errors import StackError
from harness.stack.backends.job import Job
from harness.stack.backends.process import LocalProcess, listening
from harness.stack.components import COMPONENTS
from harness.stack.conversation import converse
from harness.stack.ready import wait_until_ready
from harness.stack.service import LOOPBACK, Workspace
from harness.stack.work_folder import remove_work

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.spec.system import Part
    from harness.stack.component import Component
    from harness.stack.service import Address

_REFUSES_WITHIN_S = 1.0
_SILENT_FOR_S = 0.3
_LONG_BYTES = 10_000
_ANSWERS_WITHIN_S = 2.0
_FIRST, _SECOND = "first", "second-one"
_NOT_LISTED = "is not listed in harness/stack/components/__init__.py"


def check_component(component: Component, part: Part | None = None, project: Path | None = None) -> None:
    """See that a component is one like every other, with real processes of it.

    It must be listed, be had and described for both backends; start under any name, twice side by side, listening on
    loopback at its own address only; say its version and answer its questions, the short and the long one; refuse at
    once when it was killed, and come back on the same address; be silent while it is frozen; end when it is asked to;
    and leave no process.

    Args:
        component: The value that its file exports.
        part: What readiness.toml says of it, for one that must be told something.
        project: The folder that holds readiness.toml; the current one if None.

    Raises:
        MissingError: If its program is not on this machine.
        AssertionError: If one of these does not hold; it says which.
    """
    _hold(COMPONENTS.get(component.kind) is component, f"{component.kind!r} {_NOT_LISTED}")
    component = component.of(part) if part else component
    _check_declared(component)
    _check_image(component)
    before = _below_us()
    with (
        started(component, name=_FIRST, project=project) as first,
        started(component, name=_SECOND, project=project) as second,
    ):
        _hold(first.direct != second.direct, f"two of a kind share the address {first.direct}")
        for service in (first, second):
            _check_answers(service)
        _check_listens_here_only(_below_us() - before, {first.direct, second.direct})
        _check_hurt_and_back(first)
        _hold(second.is_ready(), "what was done to one of them was done to the other")
    left = _below_us() - before
    _hold(not left, f"it left {', '.join(each.name() for each in left)}")


@contextmanager
def started(
    component: Component, *, name: str, program: Path | None = None, project: Path | None = None
) -> Iterator[LocalProcess]:
    """Run a component as the embedded backend does, in a work folder that is gone afterwards; yield it ready.

    Args:
        component: Of which kind.
        name: What it is called.
        program: Instead of the one that the component finds.
        project: The folder that holds readiness.toml; the current one if None.

    Raises:
        MissingError: If its program is not on this machine.
        NotReadyError: If it does not start.
    """
    clock = SystemClock()
    with _workspace(project or Path.cwd()) as workspace, ExitStack() as leaving:
        recipe = component.local(name, program or component.program.find(workspace.project), workspace)
        if recipe.preparation:
            log, where = workspace.logs / f"{name}.log", f"the preparation of {name}"
            argv, within_s = recipe.preparation.argv, recipe.preparation.within_s
            job = Job(name, argv, workspace=workspace, log=log, where=where, user=recipe.user)
            leaving.callback(job.kill)
            job.wait(within_s=within_s, clock=clock)
        service = LocalProcess(recipe, workspace)
        leaving.callback(service.stop)
        service.start()
        wait_until_ready([service], clock=clock)
        yield service


@contextmanager
def _workspace(project: Path) -> Iterator[Workspace]:
    run_id = f"test-{secrets.token_hex(4)}"
    work = Path(tempfile.mkdtemp(prefix=f"readiness-{run_id}-"))
    work.chmod(0o711)  # an unprivileged user, such as that of Postgres, must be able to pass
    try:
        yield Workspace(run_id=run_id, project=project, logs=work, work=work, on_spawn=lambda _name, _pid: None)
    finally:
        remove_work(work, SystemClock())


def _check_declared(component: Component) -> None:
    kind = component.kind
    _hold(
        re.fullmatch(r"[a-z0-9][a-z0-9-]*", kind), f"readiness.toml cannot name {kind!r}: lower-case letters and digits"
    )
    described = component.contained(_FIRST, "image")
    given = component.placeholders(_FIRST, described.direct)
    _hold({f"{_FIRST}.host", f"{_FIRST}.port"} <= set(given), "a service is not told where it is")
    open_ended = [key for key, text in given.items() if re.search(r"[{}]", text)]
    _hold(not open_ended, f"{', '.join(open_ended)} holds a placeholder that nothing fills in")


def _check_image(component: Component) -> None:
    image, recipe = component.image, component.contained(_SECOND, "image")
    _hold(recipe.name == _SECOND, f"in a container it is called {recipe.name!r}, whatever name it is given")
    _hold(recipe.port == component.port, f"in a container it listens on {recipe.port}, not on {component.port}")
    hosts = {address.host for address in recipe.published.values()}
    _hold(hosts == {LOOPBACK}, f"its ports are published on {', '.join(sorted(hosts))}")
    if image is None:
        return
    _hold(re.search(r"\d", image.official.tag), f"{image.official.reference} is another image tomorrow: pin a version")
    if image.made_of is not None:
        users = re.findall(r"^USER (.*)$", image.dockerfile, re.MULTILINE)
        _hold(users[-1:] == ["10001:10001"], "its Dockerfile does not end as the user 10001:10001")
        is_exec = re.search(r'^(CMD|ENTRYPOINT) \["', image.dockerfile, re.MULTILINE)
        _hold(is_exec, "its Dockerfile starts the server through a shell, which does not hear its signal")


def _check_answers(service: LocalProcess) -> None:
    name = service.name
    _hold(name in {_FIRST, _SECOND}, f"it is called {name!r}, whatever name it is given")
    _hold(service.question or service.greets, f"{name} has no question, so that no fault on it can be seen")
    _hold(service.round_trip_s(service.direct) > 0, f"{name} does not answer its question")
    _hold(re.search(r"\d", service.version()), f"{name} says no version: {service.version()!r}")
    _check_long_answer(service)


def _check_long_answer(service: LocalProcess) -> None:
    name = service.name
    try:
        question = service.long_question(_LONG_BYTES)
    except StackError:  # nothing long can be asked of it: faults that would need that say so, before anything starts
        return
    heard = converse(service.direct, question, within_s=_ANSWERS_WITHIN_S)
    _hold(heard.length_bytes >= _LONG_BYTES, f"{name} answers its long question with {heard.length_bytes} bytes only")
    _hold(heard.ended == "closed", f"{name} does not end the connection after its long question: {heard.ended}")


def _check_listens_here_only(family: set[psutil.Process], expected: set[Address]) -> None:
    found = listening(family)
    _hold(set(found) == {str(address) for address in expected}, f"it listens on {', '.join(found)}")


def _check_hurt_and_back(service: LocalProcess) -> None:
    clock, address = SystemClock(), service.direct
    service.pause()
    frozen = _answer(service, within_s=_SILENT_FOR_S)
    service.resume()
    _hold(isinstance(frozen, TimeoutError), f"frozen, it is not silent: {frozen!r}")
    wait_until_ready([service], clock=clock)
    service.kill()
    began_s = clock.now()
    dead = _answer(service, within_s=2 * _REFUSES_WITHIN_S)
    is_at_once = clock.now() - began_s < _REFUSES_WITHIN_S
    _hold(isinstance(dead, ConnectionError) and is_at_once, f"killed, it does not refuse at once: {dead!r}")
    service.start()
    wait_until_ready([service], clock=clock)
    _hold(service.direct == address, f"it came back at {service.direct}, not at {address}")
    service.stop()
    _hold(not service.is_alive(), "it does not end when it is asked to")
    service.start()
    wait_until_ready([service], clock=clock)


def _answer(service: LocalProcess, *, within_s: float) -> float | OSError:
    """Return how long it took to answer, or how it did not."""
    try:
        return service.round_trip_s(service.direct, within_s=within_s)
    except OSError as error:
        return error


def _below_us() -> set[psutil.Process]:
    return set(psutil.Process().children(recursive=True))


def _hold(condition: object, sentence: str) -> None:
    if not condition:
        raise AssertionError(sentence)
