"""`readiness export`: a scenario's faults, for what does such things to a cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.options import write_new
from harness.exchange.export import Tool, exported
from harness.exchange.pods import Cluster, labels_from, parts_of, workloads_from
from harness.library.story import source_of
from harness.options import check_profile, settings_of
from harness.plan import plan_of


def export(
    scenario: Annotated[str, typer.Argument(help="A scenario's file, or its name.")],
    to: Annotated[Tool, typer.Option(help="What the manifests are for.")],
    out: Annotated[Path | None, typer.Option(help="Their file; without it they are printed.")] = None,
    selector: Annotated[
        list[str] | None, typer.Option(metavar="PART=LABEL=VALUE[,…]", help="Labels of the pods of a part.")
    ] = None,
    workload: Annotated[
        list[str] | None, typer.Option(metavar="PART=KIND", help="What owns the pods of a part; Litmus wants to know.")
    ] = None,
    namespace: Annotated[str, typer.Option(help="Where the pods are, and the manifests go.")] = "default",
    profile: Annotated[str, typer.Option(help="A profile of readiness.toml; it says how long phases are.")] = "quick",
    *,
    partial: Annotated[bool, typer.Option("--partial", help="Leave out the faults that cannot be said there.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it is there.")] = False,
) -> None:
    """Write a scenario's faults as manifests of Chaos Mesh or Litmus. See docs/exchange.md.

    How well each fault is said is told on stderr and in annotations. One that cannot be said is refused by name with
    exit code 3, and nothing is written.

    Example:
      readiness export redis-down --to chaos-mesh --selector redis=app=redis --out workflow.yaml
    """
    project = Path.cwd()
    settings = settings_of(project)
    check_profile(settings, profile)
    known = parts_of(settings.system)
    cluster = Cluster(
        system=settings.system,
        namespace=namespace,
        labels=labels_from(selector or [], known),
        workloads=workloads_from(workload or [], known),
    )
    source = source_of(scenario, project)
    plan = plan_of(source, settings, profile=profile, seed=0)
    made = exported(plan, source.document, to, cluster, is_partial=partial)
    for row in made.table:
        typer.echo(row, err=True)
    if out is None:
        typer.echo(made.text, nl=False)
    else:
        write_new(out, made.text, force=force)
        typer.echo(f"manifests: {out}; kubectl apply --dry-run=server -f {out} asks your cluster about them", err=True)
