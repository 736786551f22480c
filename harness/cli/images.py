"""`readiness images`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.signals import interruptible
from harness.options import settings_of
from harness.report.terminal import Progress, image_table


def images(
    role: Annotated[list[str] | None, typer.Option(help="Only this one, and the base if it needs it.")] = None,
    *,
    local: Annotated[bool, typer.Option("--local", help="Ask no registry; build what is not there.")] = False,
) -> None:
    """Have an image for each role of a containers stack: official ones, else our own. See docs/containers.md.

    What is there is kept. Official images are pulled where a registry answers; where none does, the same servers are
    built from the wheels that the embedded backend runs. The judged service is built from its Dockerfile.
    """
    # A Docker client, only where it is asked for.
    from harness.stack.backends import engine  # noqa: PLC0415 - see above
    from harness.stack.backends.images import made  # noqa: PLC0415 - see above

    system = settings_of(Path.cwd()).system
    client, progress = engine.connect(), Progress()
    done = []
    with interruptible(), progress:
        for each in made(client, system, Path.cwd(), roles=role, asks_registries=not local, say=progress.message):
            if not each.is_kept:
                progress.message(f"{each.role}: {each.how} {each.reference}")
            done.append((each.role, each.reference, each.how, each.took_s))
    image_table(done)
