"""`readiness load`."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path
from secrets import token_hex
from typing import Annotated

import typer
from pydantic import ValidationError

from harness.cli.options import WORKER_TOKEN
from harness.cli.signals import interruptible
from harness.clock import SystemClock
from harness.errors import SpecError
from harness.load.engine import LoadPlan
from harness.load.master import Meeting, gathered
from harness.load.team import pressing_together
from harness.measure.series import percentile_s
from harness.report.terminal import Progress
from harness.run import new_seed
from harness.spec.load import Load
from harness.spec.quantity import duration_s

JOIN_WITHIN_S = 300.0
"""Time for pods to be scheduled and images to be pulled."""


def load(
    url: Annotated[str, typer.Argument(help="Base URL; on this machine, unless --allow-remote.")],
    rate: Annotated[float, typer.Option(help="Arrivals a second.")] = 100.0,
    lasts: Annotated[str, typer.Option("--for", help="How long: 10s, 2min.")] = "10s",
    seed: Annotated[int | None, typer.Option(help="Of arrivals, keys and operations.")] = None,
    client: Annotated[
        str, typer.Option(help="`fast`: an HTTP library; `lean`: a bare socket, for high rates.")
    ] = "fast",
    locustfile: Annotated[Path | None, typer.Option(help="Press with the users of this file, instead of ours.")] = None,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Generators on this machine, each on a core.")] = 1,
    expect_workers: Annotated[int, typer.Option(max=256, help="Wait for so many `readiness worker` instead.")] = 0,
    bind: Annotated[str, typer.Option(help="HOST:PORT where workers come to.")] = "127.0.0.1:5557",
    token: Annotated[str, typer.Option(envvar=WORKER_TOKEN, help="What they must know; made up if not given.")] = "",
    *,
    allow_remote: Annotated[bool, typer.Option(help="Yes, that machine is yours to press.")] = False,
) -> None:
    """Put open-arrival load on an address, and say what came back; judges nothing."""
    plan = LoadPlan(
        base_url=url,
        load=_load_of(rate, client, locustfile),
        lasts_s=duration_s(lasts),
        seed=new_seed() if seed is None else seed,
        allow_remote=allow_remote,
    )
    progress, clock = Progress(), SystemClock()
    with interruptible(), tempfile.TemporaryDirectory(prefix="readiness-load-") as folder, ExitStack() as stack:
        if expect_workers:
            meeting = _meeting(bind, token, expect_workers, progress)
            pressure = stack.enter_context(gathered(plan, meeting, folder=Path(folder), clock=clock, say=progress.say))
        else:
            pressure = stack.enter_context(pressing_together(plan, workers=workers, folder=Path(folder), clock=clock))
        while (elapsed_s := clock.now() - pressure.begins_s) < plan.lasts_s:
            pressure.check()
            for beat in pressure.beats():
                progress.beat(scenario=url, phase="load", elapsed_s=elapsed_s, total_s=plan.lasts_s, heartbeat=beat)
            clock.sleep(0.1)
        result = pressure.finish()
    for loss in result.losses:
        typer.echo(loss, err=True)
    p95_s = percentile_s(result.samples.records["latency_s"], 0.95)
    typer.echo(f"{result.tally}; p95 {p95_s * 1000:.1f} ms from the intended start" if p95_s else str(result.tally))


def _meeting(bind: str, token: str, workers: int, progress: Progress) -> Meeting:
    """Read where workers come to.

    Raises:
        SpecError: If that is no address.
    """
    host, _, port = bind.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise SpecError(f"{bind!r} is no address", where="--bind", mend="write HOST:PORT, such as 127.0.0.1:5557")
    if not token:
        token = token_hex(8)
        progress.say(f"workers need this token: {WORKER_TOKEN}={token}")
    return Meeting(host=host.strip("[]"), port=int(port), token=token, workers=workers, within_s=JOIN_WITHIN_S)


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
        raise SpecError(f"{first['input']!r} is no load", where=option, mend=str(first["msg"])) from error
