"""A scenario's faults as Litmus ChaosEngines, one for each; all are applied at once, and each waits for its time.

What waits is Litmus' own `RAMP_TIME`, which it waits again when the fault is over. Times are whole seconds.

Sources: Litmus 3.28.0, `faults/kubernetes` of chaos-charts and `chaoslib/litmus` of litmus-go; tc(8).
"""

from __future__ import annotations

from dataclasses import replace
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

if TYPE_CHECKING:
    from collections.abc import Mapping

    from harness.exchange.pods import Cluster, Pods
    from harness.spec.faults import Fault
    from harness.spec.timeline import Scheduled

API_VERSION = "litmuschaos.io/v1alpha1"

BURST, LIMIT = "32kb", "2mb"
"""What may pass a narrow path at once, and wait in its queue: those of Litmus' own chart."""

LOSES_ALL = {"NETWORK_PACKET_LOSS_PERCENTAGE": "100"}

ALL, ONE = "100", "0"
"""Percent of the pods that are hit; of none it takes one."""

_LONGEST_NAME = 40
"""Of a scenario, in the name of an engine; Litmus adds the experiment's, and makes a label of 63 characters of that."""


def translated(action: Scheduled, cluster: Cluster) -> Translation:
    """Return a fault as what Litmus does, each part an experiment of an engine."""
    found = _translated(action.spec, _whole_s(action.lasts_s), cluster)
    several = [pods for pods in found.pods if len(pods.labels) > 1]
    if several:
        return unsupported(f"of several labels it takes each for a set of pods of its own ({several[0].label_text})")
    if any(seconds != round(seconds) for seconds in (action.starts_s, action.lasts_s)):
        return replace(found, why=f"{found.why}; its times are rounded to whole seconds")
    return found


def _translated(fault: Fault, lasts_s: int, cluster: Cluster) -> Translation:
    if isinstance(fault, NetworkFault):
        return _network(fault, lasts_s, cluster)
    if isinstance(fault, ProcessFault):
        return _process(fault, lasts_s, cluster)
    if isinstance(fault, DataFault):
        return unsupported(_why_no_data(fault))
    if isinstance(fault, ResourceFault):
        return unsupported(_why_no_resource(fault))
    if isinstance(fault, ClockFault):
        return unsupported("no fault sets a clock off")
    if isinstance(fault, TrafficFault):
        return unsupported("no fault sends requests; it is a matter of the load")
    assert_never(fault)


def _network(fault: NetworkFault, lasts_s: int, cluster: Cluster) -> Translation:  # noqa: PLR0911 - one answer for each kind
    if "." in fault.target:
        return unsupported("it picks the other end of a connection by its address, not by labels")
    pods = cluster.pods_of(fault.target)
    match fault:
        case Latency():
            why = "each packet to anywhere is late, those of a connect and of a probe among them"
            environment = {"NETWORK_LATENCY": f"{fault.delay * 1000:.0f}", "JITTER": f"{fault.jitter * 1000:.0f}"}
            return _does("pod-network-latency", pods, why, lasts_s, environment)
        case Bandwidth():
            why = "all connections have the rate together, those of a probe among them"
            environment = {"NETWORK_BANDWIDTH": f"{fault.rate / 1000:.0f}kbps", "BURST": BURST, "LIMIT": LIMIT}
            return _does("pod-network-rate-limit", pods, why, lasts_s, environment)
        case Blackhole():
            why = "what clients send on open connections arrives and is done; a probe hears nothing"
            return _does("pod-network-loss", pods, why, lasts_s, LOSES_ALL)
        case HalfOpen(stream="downstream"):
            why = "no new connection is accepted; a probe hears nothing"
            return _does("pod-network-loss", pods, why, lasts_s, LOSES_ALL)
        case HalfOpen():
            return unsupported("it drops what a pod sends, not what it is sent")
        case Down():
            return unsupported("no fault refuses connections, and a pod that is deleted does not stay away")
        case Reset() | Slicer() | LimitData():
            return unsupported("it works on packets, and resets, slices and counts no connection")
        case ConnectBlackhole() | StaleConnections():
            return unsupported("it does not tell new connections from open ones")
        case _:
            assert_never(fault)


def _process(fault: ProcessFault, lasts_s: int, cluster: Cluster) -> Translation:  # noqa: PLR0911 - one answer for each kind
    pods = cluster.pods_of(fault.target)
    match fault:
        case Kill():
            why = "another pod takes its place at once, at another address: it does not stay away"
            return _deletes(pods, why, lasts_s, every_s=lasts_s, is_forced=True)
        case Restart():
            why = "another pod takes its place, at another address; how long the old one may take is the pod's own"
            return _deletes(pods, why, lasts_s, every_s=lasts_s, is_forced=False)
        case CrashLoop() if fault.every != round(fault.every):
            return unsupported("it knows whole seconds only")
        case CrashLoop():
            why = "another pod takes its place each time, at another address, and is waited for"
            return _deletes(pods, why, lasts_s, every_s=round(fault.every), is_forced=True)
        case RollingRestart():
            return unsupported("no fault waits until a pod is ready; `kubectl rollout restart` does so")
        case Pause():
            return unsupported("no fault freezes a process; `blackhole` shows its clients nearly the same")
        case SlowStart():
            return unsupported("no fault makes a start slower")
        case Reload():
            return unsupported("no fault has a process read its configuration again; `nginx -s reload` does so")
        case _:
            assert_never(fault)


def _why_no_data(fault: DataFault) -> str:
    if isinstance(fault, DiskFull):
        return "disk-fill fills what a pod has beside its volumes, until it is evicted"
    return "no fault changes what a server holds, takes or grants"


def _why_no_resource(fault: ResourceFault) -> str:
    match fault:
        case Cpu():
            return "node-cpu-hog wants the name of a node, and no target of a scenario has one"
        case Memory():
            return "pod-memory-hog takes memory until the kernel kills a process, where this one is refused"
        case Descriptors():
            return "no fault limits descriptors"
        case _:
            assert_never(fault)


def engine(
    scenario: str, action: Scheduled, experiment: Mapping[str, Any], pods: Pods, cluster: Cluster
) -> dict[str, Any]:
    """Return the manifest of one fault, without its annotations.

    Args:
        scenario: Its name.
        action: The fault, and when it begins.
        experiment: What does it.
        pods: What it is done to.
        cluster: Where they are.
    """
    waits = {"name": "RAMP_TIME", "value": f"{action.starts_s:.0f}"}
    environment = [*experiment["spec"]["components"]["env"], waits]
    return {
        "apiVersion": API_VERSION,
        "kind": "ChaosEngine",
        "metadata": {
            "name": f"{scenario[:_LONGEST_NAME].rstrip('-')}-{action.id}",
            "namespace": cluster.namespace,
        },
        "spec": {
            "engineState": "active",
            "appinfo": {"appns": cluster.namespace, "applabel": pods.label_text, "appkind": pods.workload},
            "chaosServiceAccount": f"{experiment['name']}-sa",
            "experiments": [{"name": experiment["name"], "spec": {"components": {"env": environment}}}],
        },
    }


def _deletes(pods: Pods, why: str, lasts_s: int, *, every_s: int, is_forced: bool) -> Translation:
    environment = {"CHAOS_INTERVAL": str(every_s), "FORCE": "true" if is_forced else "false"}
    return _does("pod-delete", pods, why, lasts_s, environment)


def _does(name: str, pods: Pods, why: str, lasts_s: int, environment: Mapping[str, str]) -> Translation:
    whole = {
        "TOTAL_CHAOS_DURATION": str(lasts_s),
        **environment,
        "PODS_AFFECTED_PERC": ONE if pods.is_one else ALL,
    }
    named = [{"name": key, "value": value} for key, value in whole.items()]
    return approximate(f"{name}: {why}", {"name": name, "spec": {"components": {"env": named}}}, pods=(pods,))


def _whole_s(seconds: float) -> int:
    return max(1, round(seconds))
