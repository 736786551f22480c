"""A scenario's faults as a Chaos Mesh Workflow: its phases one after the other, in each its faults beside each other.

Sources: Chaos Mesh 2.8.3, `api/v1alpha1` and `config/crd/bases`; tc(8), tc-netem(8), tc-tbf(8).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, assert_never

from harness.exchange.fidelity import Translation, approximate, unsupported
from harness.spec.faults import (
    Bandwidth,
    Blackhole,
    ClockFault,
    ConnectBlackhole,
    Cpu,
    CrashLoop,
    DataFault,
    Descriptors,
    DiskFull,
    Down,
    HalfOpen,
    Kill,
    Latency,
    LimitData,
    Memory,
    NetworkFault,
    Pause,
    ProcessFault,
    Reload,
    Reset,
    ResourceFault,
    Restart,
    RollingRestart,
    Slicer,
    SlowStart,
    StaleConnections,
    TrafficFault,
)
from harness.spec.faults.target import ENDS_WITHIN_S

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from harness.exchange.pods import Cluster, Pods
    from harness.spec.faults import Fault
    from harness.spec.phase import Phase
    from harness.spec.timeline import Scheduled

API_VERSION = "chaos-mesh.org/v1alpha1"

LIMIT_BYTES = 20 << 20
"""What may wait in the queue of a narrow path: the value of Chaos Mesh's own guide; less would lose packets."""

BUFFER_BYTES = 10_000
"""What may pass a narrow path at once: what comes in a tick at the least, or the rate is not reached (tc-tbf(8),
`burst`); so much it is at 100 ticks a second and the 1 MB/s that a fault may have at most."""

_LONGEST_NAME = 40
"""Of a phase, in the name of a template; Chaos Mesh adds to it, and makes a label of 63 characters of that."""


def translated(fault: Fault, cluster: Cluster) -> Translation:
    """Return a fault as what Chaos Mesh does, each part a template of a workflow without its name and its end."""
    if isinstance(fault, NetworkFault):
        return _network(fault, cluster)
    if isinstance(fault, ProcessFault):
        return _process(fault, cluster)
    if isinstance(fault, DataFault):
        return unsupported(_why_no_data(fault))
    if isinstance(fault, ResourceFault):
        return unsupported(_why_no_resource(fault))
    if isinstance(fault, ClockFault):
        return _clock(fault, cluster)
    if isinstance(fault, TrafficFault):
        return unsupported("no kind sends requests; it is a matter of the load")
    assert_never(fault)


def _network(fault: NetworkFault, cluster: Cluster) -> Translation:  # noqa: PLR0911 - one answer for each kind
    match fault:
        case Latency():
            why = "each packet is late: a connect as well, and an answer of many packets once"
            delay = {"latency": _ms(fault.delay), "jitter": _ms(fault.jitter)}
            return _on_the_network(fault.target, cluster, why, action="delay", delay=delay)
        case Bandwidth():
            why = "all connections have the rate together"
            return _on_the_network(fault.target, cluster, why, action="bandwidth", bandwidth=_bandwidth(fault.rate))
        case Blackhole():
            why = "a connect is dropped too, so that no new connection is accepted"
            return _on_the_network(fault.target, cluster, why, action="partition", direction="both")
        case HalfOpen():
            why = "acknowledgements and connects are dropped too, so that no new connection is accepted"
            direction = {"downstream": "to", "upstream": "from"}[fault.stream]
            return _on_the_network(fault.target, cluster, why, action="partition", direction=direction)
        case Down() if "." in fault.target:
            return unsupported("nothing refuses connections of some clients only; `blackhole` is a partition there")
        case Down():
            why = "the process ends, and what it holds in memory is lost"
            return _to_pods(fault.target, cluster, why, action="pod-failure")
        case Reset() | Slicer() | LimitData():
            return unsupported("it works on packets, and resets, slices and counts no connection")
        case ConnectBlackhole() | StaleConnections():
            return unsupported("it does not tell new connections from open ones")
        case _:
            assert_never(fault)


def _process(fault: ProcessFault, cluster: Cluster) -> Translation:  # noqa: PLR0911 - one answer for each kind
    match fault:
        case Kill():
            return _to_pods(fault.target, cluster, "the process is asked to end first", action="pod-failure")
        case Restart():
            why = "another pod takes its place, at another address, and does not wait until the old one has ended"
            grace_s = round(ENDS_WITHIN_S)
            return _to_pods(fault.target, cluster, why, action="pod-kill", gracePeriod=grace_s)
        case CrashLoop():
            return _crash_loop(fault, cluster)
        case RollingRestart():
            return unsupported("no kind waits until a pod is ready; `kubectl rollout restart` does so")
        case Pause():
            return unsupported("no kind freezes a process; `blackhole` shows its clients nearly the same")
        case SlowStart():
            return unsupported("no kind makes a start slower")
        case Reload():
            return unsupported("no kind has a process read its configuration again; `nginx -s reload` does so")
        case _:
            assert_never(fault)


def _why_no_data(fault: DataFault) -> str:
    if isinstance(fault, DiskFull):
        return "IOChaos wants the path of a volume, and no target of a scenario has one"
    return "no kind changes what a server holds, takes or grants"


def _why_no_resource(fault: ResourceFault) -> str:
    match fault:
        case Cpu():
            return "StressChaos computes within the limits of a pod, not beside all of them"
        case Memory():
            return "StressChaos takes memory until the kernel kills a process, where this one is refused"
        case Descriptors():
            return "no kind limits descriptors"
        case _:
            assert_never(fault)


def _clock(fault: ClockFault, cluster: Cluster) -> Translation:
    if fault.monotonic:
        return unsupported("TimeChaos sets a monotonic clock back when it ends, and such a clock never runs backwards")
    pods = cluster.pods_of(fault.target)
    does = {"timeOffset": _ms(fault.wall), "clockIds": ["CLOCK_REALTIME"]}
    part = {"templateType": "TimeChaos", "timeChaos": {**_selected(pods, cluster), **does}}
    return approximate("what asks the kernel itself, past its library, is told the right time", part, pods=(pods,))


def workflow(
    name: str, phases: Sequence[Phase], done: Sequence[tuple[Scheduled, Translation]], cluster: Cluster
) -> dict[str, Any]:
    """Return the manifest, without its annotations.

    Args:
        name: Of the scenario.
        phases: In order of time.
        done: Each fault that can be done, with how.
        cluster: Where its targets are.
    """
    templates, children, begins_s = list[dict[str, Any]](), list[str](), 0.0
    for number, phase in enumerate(phases, start=1):
        own = [(action, how) for action, how in done if action.phase == phase.name]
        name_of_phase = f"phase-{number}-{phase.name}"[:_LONGEST_NAME].rstrip("-")
        children.append(name_of_phase)
        templates += _phase(name_of_phase, number, phase, begins_s, own)
        begins_s += phase.lasts
    entry = {"name": "scenario", "templateType": "Serial", "children": children}
    return {
        "apiVersion": API_VERSION,
        "kind": "Workflow",
        "metadata": {"name": name, "namespace": cluster.namespace},
        "spec": {"entry": "scenario", "templates": [entry, *templates]},
    }


def _phase(
    name: str, number: int, phase: Phase, begins_s: float, own: Sequence[tuple[Scheduled, Translation]]
) -> list[dict[str, Any]]:
    """Return the templates of one phase: it waits, and beside that its faults come and go."""
    if not own:
        return [{"name": name, "templateType": "Suspend", "deadline": _span(phase.lasts)}]
    hold = {"name": f"hold-{number}", "templateType": "Suspend", "deadline": _span(phase.lasts)}
    children, faults = [hold["name"]], list[dict[str, Any]]()
    for action, how in own:
        for part, body in enumerate(how.parts, start=1):
            given = action.id if len(how.parts) == 1 else f"{action.id}-{part}"
            templates = _placed(given, body, action.starts_s - begins_s, action.lasts_s)
            children.append(templates[0]["name"])
            faults += templates
    return [{"name": name, "templateType": "Parallel", "children": children}, hold, *faults]


def _placed(name: str, body: Mapping[str, Any], at_s: float, lasts_s: float) -> list[dict[str, Any]]:
    """Return the templates that do one thing, first the one that begins with its phase."""
    does = {"name": name, "templateType": body["templateType"], "deadline": _span(lasts_s), **body}
    if not at_s:
        return [does]
    waits = {"name": f"{name}-waits", "templateType": "Suspend", "deadline": _span(at_s)}
    return [
        {"name": f"{name}-later", "templateType": "Serial", "children": [waits["name"], name]},
        waits,
        does,
    ]


def _on_the_network(target: str, cluster: Cluster, why: str, **does: Any) -> Translation:
    """Return NetworkChaos between a target and those that have a path to it, and nobody else: no probe, no peer."""
    server, clients = cluster.pods_of(target.rpartition(".")[2]), cluster.clients_of(target)
    direction = {"direction": does.pop("direction", "to")}
    parts = [
        {
            "templateType": "NetworkChaos",
            "networkChaos": {**_selected(server, cluster), **does, **direction, "target": _selected(client, cluster)},
        }
        for client in clients
    ]
    return approximate(why, *parts, pods=(server, *clients))


def _to_pods(target: str, cluster: Cluster, why: str, **does: Any) -> Translation:
    pods = cluster.pods_of(target)
    part = {"templateType": "PodChaos", "podChaos": {**_selected(pods, cluster), **does}}
    return approximate(why, part, pods=(pods,))


def _crash_loop(fault: CrashLoop, cluster: Cluster) -> Translation:
    if fault.every != round(fault.every):
        return unsupported("a Schedule knows whole seconds only")
    pods = cluster.pods_of(fault.target)
    schedule = {
        "schedule": f"@every {_span(fault.every)}",
        "concurrencyPolicy": "Allow",
        "type": "PodChaos",
        "podChaos": {**_selected(pods, cluster), "action": "pod-kill", "gracePeriod": 0},
    }
    why = "another pod takes its place each time, at another address; the first is killed one interval later"
    return approximate(why, {"templateType": "Schedule", "schedule": schedule}, pods=(pods,))


def _selected(pods: Pods, cluster: Cluster) -> dict[str, Any]:
    selector = {"namespaces": [cluster.namespace], "labelSelectors": dict(pods.labels)}
    return {"mode": "one" if pods.is_one else "all", "selector": selector}


def _bandwidth(rate_bytes_per_s: float) -> dict[str, Any]:
    """Return a rate as tc(8) knows it: `kbps` are 1000 bytes a second, whatever the letters say."""
    return {"rate": f"{round(rate_bytes_per_s / 1000)}kbps", "limit": LIMIT_BYTES, "buffer": BUFFER_BYTES}


def _ms(seconds: float) -> str:
    return f"{round(seconds * 1000)}ms"


def _span(seconds: float) -> str:
    """Return a duration as Go reads it, to the millisecond."""
    return re.sub(r"000ms$", "s", _ms(seconds))
