"""`readiness load`."""

from __future__ import annotations

import os
import tempfile
from contextlib import ExitStack, contextmanager
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer
from pydantic import ValidationError

from harness.cli.options import WORKER_TOKEN
from harness.cli.signals import interruptible
from harness.clock import SystemClock
from harness.errors import LoadError, SpecError
from harness.evidence.redaction import Secrets
from harness.load.engine import LoadPlan
from harness.load.group import apply_load_together
from harness.load.master import Rendezvous, apply_load_with_workers
from harness.measure.series import percentile_s
from harness.options import SETTINGS_FILE, lasting_s, new_seed, settings_of
from harness.report.terminal import Progress
from harness.run import hidden_variables, secrets_of_locustfile
from harness.spec.load import Load
from harness.spec.quantity import count_text
from harness.verdict.outcome import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.load.engine import LoadResult
    from harness.spec.system import System

JOIN_WITHIN_S = 300.0
"""Time for pods to be scheduled and images to be pulled."""

_WORDS = {"ok": "ok", "failed": "failed", "unfinished": "unfinished", "not_sent": "not sent", "prevented": "prevented"}


def load(
    url: Annotated[str, typer.Argument(help="Base URL; on this machine, unless --allow-remote.")],
    rate: Annotated[float, typer.Option(help="Arrivals a second.")] = 100.0,
    lasts: Annotated[str, typer.Option("--for", help="How long: 10s, 2min.")] = "10s",
    seed: Annotated[int | None, typer.Option(help="Of arrivals, keys and requests.")] = None,
    client: Annotated[
        str, typer.Option(help="`fast`: an HTTP library; `lean`: a bare socket, for high rates.")
    ] = "fast",
    locustfile: Annotated[Path | None, typer.Option(help="Press with the users of this file, instead of ours.")] = None,
    ca: Annotated[Path | None, typer.Option(help="Certificates (PEM) of those who are believed on https.")] = None,
    variable: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="For the locustfile, as it is here; may be given again."),
    ] = None,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Generators on this machine, each on a core.")] = 1,
    expect_workers: Annotated[int, typer.Option(max=256, help="Wait for so many `readiness worker` instead.")] = 0,
    bind: Annotated[str, typer.Option(help="HOST:PORT where workers come to.")] = "127.0.0.1:5557",
    token: Annotated[str, typer.Option(envvar=WORKER_TOKEN, help="What they must know; made up if not given.")] = "",
    *,
    allow_remote: Annotated[bool, typer.Option(help="Load a machine other than this one; only where you may.")] = False,
) -> None:
    """Put open-arrival load on an address, and say what came back; judges nothing of it.

    Asks what readiness.toml in this folder declares; where there is none, `GET /`.

    Exit codes: 0 pressed as asked; 2 nothing was issued, no request ended well, or a generator was lost; 3 nothing
    answered, a user's task raised, or the load could not be put on.
    """
    progress, clock = Progress(), SystemClock()
    system, asked = _system_of(Path.cwd()), _load_of(rate, client, locustfile)
    known = hidden_variables(system.secrets, os.environ, key="system.secrets") if system else {}
    plan = LoadPlan(
        base_url=url.rstrip("/"),
        load=asked.asking(system.requests, system.headers, system.login) if system else asked,
        lasts_s=lasting_s("--for", lasts),
        seed=new_seed() if seed is None else seed,
        allow_remote=allow_remote,
        allowed_hosts=system.allowed_hosts if system else (),
        ca=str(ca.absolute()) if ca else None,
        secrets=known,
        variables=tuple(dict.fromkeys((*(system.locust.inherited if system else ()), *(variable or ())))),
    )
    secrets = Secrets([*known.values(), *(secrets_of_locustfile(system, os.environ) if system else ())])
    with (
        _without(secrets),
        interruptible(),
        tempfile.TemporaryDirectory(prefix="readiness-load-") as folder,
        ExitStack() as stack,
    ):
        if expect_workers:
            rendezvous = _rendezvous(bind, token, expect_workers, progress)
            pressure = stack.enter_context(
                apply_load_with_workers(plan, rendezvous, folder=Path(folder), clock=clock, say=progress.message)
            )
        else:
            pressure = stack.enter_context(apply_load_together(plan, workers=workers, folder=Path(folder), clock=clock))
        if plan.load.asked:
            progress.message(f"asking {', '.join(f'{each.method} {each.path}' for each in plan.load.asked)}")
        while (elapsed_s := clock.now() - pressure.begins_s) < plan.lasts_s:
            pressure.check()
            for beat in pressure.beats():
                progress.heartbeat(
                    scenario=url, phase="load", elapsed_s=elapsed_s, total_s=plan.lasts_s, heartbeat=beat
                )
            clock.sleep(0.1)
        result = pressure.finish()
        typer.echo(summary(result))
        check_answered(result, url)
    raise typer.Exit(_exit_code(result))


@contextmanager
def _without(secrets: Secrets) -> Iterator[None]:
    """Keep secrets out of what is told of a load: a locustfile may write them to its log, or raise them."""
    try:
        yield
    except LoadError as error:
        what, where, fix = (secrets.redacted(each) for each in (error.what, error.where, error.fix))
        raise LoadError(what, where=where, fix=fix) from None


def summary(result: LoadResult) -> str:
    """Return what came of a load, in sentences."""
    tally, p95_s = result.tally, percentile_s(result.samples.records["latency_s"], 0.95)
    told = {name: word for name, word in _WORDS.items() if name != "prevented" or tally.prevented}
    counts = (f"{count_text(getattr(tally, name))} {word}" for name, word in told.items())
    said = [f"{count_text(tally.planned)} arrivals planned, {count_text(tally.issued)} requests: {', '.join(counts)}"]
    if p95_s is not None:
        said.append(f"95 of 100 took {p95_s * 1000:.1f} ms at most, from the intended start")
        said.append(f"the generator's own lag was {tally.lag_p99_s * 1000:.1f} ms at p99")
    if nameless := result.samples.nameless():
        said.append(f"{nameless}: give requests that differ by an id the same `name`")
    return "\n".join(said)


def check_answered(result: LoadResult, url: str) -> None:
    """Check that something answered, and that the users did not break.

    Raises:
        LoadError: If not one request was answered, with success or without; or a user raised what no request explains.
    """
    tally = result.tally
    if tally.client_errors:
        what = f"{tally.client_errors} exceptions that no request explains; the first: {tally.client_error}"
        raise LoadError(what, where=url, fix="see that the locustfile's tasks run as they stand")
    if tally.issued > tally.prevented and not tally.ok and not result.samples.records["status"].any():
        what = f"nothing answered: not one of {count_text(tally.issued)} requests"
        raise LoadError(what, where=url, fix="see that the service is up, and that this is its address")


def _exit_code(result: LoadResult) -> int:
    """Say what keeps the load from being what was asked for, and return the exit code."""
    lacks = [*result.losses, *filter(None, [result.tally.shortage])]
    if not result.tally.issued:
        lacks.append("not one request was issued: press longer, or at a higher rate")
    elif not result.tally.ok and result.samples.records["status"].any():
        answers = result.samples.records["status"]
        status = int(np.bincount(answers[answers > 0]).argmax())
        lacks.append(f"not one request ended well; most often the answer was {status}: is this what should be asked?")
    for lack in lacks:
        typer.echo(f"{Outcome.INCONCLUSIVE}: {lack}", err=True)
    return (Outcome.INCONCLUSIVE if lacks else Outcome.PASS).exit_code


def _rendezvous(bind: str, token: str, workers: int, progress: Progress) -> Rendezvous:
    """Read where workers come to.

    Raises:
        SpecError: If that is no address.
    """
    host, _, port = bind.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise SpecError(f"{bind!r} is no address", where="--bind", fix="write HOST:PORT, such as 127.0.0.1:5557")
    if not token:
        token = token_hex(8)
        progress.message(f"workers need this token: {WORKER_TOKEN}={token}")
    return Rendezvous(host=host.strip("[]"), port=int(port), token=token, workers=workers, within_s=JOIN_WITHIN_S)


def _system_of(project: Path) -> System | None:
    """Return what readiness.toml in a project's folder declares, if it is there.

    Raises:
        SpecError: If it cannot be read or understood.
    """
    return settings_of(project).system if (project / SETTINGS_FILE).is_file() else None


def _load_of(rate: float, client: str, locustfile: Path | None) -> Load:
    """Read the options as a load.

    Raises:
        SpecError: If one of them makes no sense; it names it.
    """
    told = {"arrivals_per_s": rate, "client": client, "locustfile": str(locustfile) if locustfile else None}
    try:
        return Load.model_validate(told)
    except ValidationError as error:
        first = error.errors()[0]
        option = {"arrivals_per_s": "--rate"}.get(str(first["loc"][0]), f"--{first['loc'][0]}")
        raise SpecError(f"{first['input']!r} is no load", where=option, fix=str(first["msg"])) from error
