"""`readiness worker`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.options import WORKER_TOKEN
from harness.cli.signals import interruptible
from harness.clock import SystemClock
from harness.load.worker import press_for
from harness.options import lasting_s
from harness.report.terminal import Progress


def worker(
    master_host: Annotated[str, typer.Option(help="Where `readiness load --expect-workers` runs.")] = "127.0.0.1",
    master_port: Annotated[int, typer.Option(help="The port that it says.")] = 5557,
    token: Annotated[str, typer.Option(envvar=WORKER_TOKEN, help="The master's token.")] = "",
    wait: Annotated[str, typer.Option(help="How long to try to reach the master: 30s, 2min.")] = "1min",
) -> None:
    """Press for a master on another machine with one generator here. See docs/load.md.

    Example:
      READINESS_WORKER_TOKEN=… readiness worker --master-host 10.0.0.7
    """
    with interruptible():
        press_for(
            master_host,
            master_port,
            token=token,
            within_s=lasting_s("--wait", wait),
            project=Path.cwd(),
            clock=SystemClock(),
            say=Progress().message,
        )
