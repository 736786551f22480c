"""A scenario's faults become manifests that Chaos Mesh and Litmus take, or are refused by name."""

from __future__ import annotations

import re

import pytest
import yaml
from typer.testing import CliRunner

from fixtures.trials.doses import EXAMPLES, known
from harness.cli import app
from harness.errors import MultipleSpecError, SpecError
from harness.exchange.export import Tool, exported
from harness.exchange.pods import Cluster, labels_from, parts_of, workloads_from
from harness.options import settings_of
from harness.plan import plan_of, source_of
from harness.spec.system import Worker
from suites.support.crds import check_engine, check_workflow
from suites.support.servers import PROJECT

SETTINGS = settings_of(PROJECT)
SYSTEM = SETTINGS.system.model_copy(update={"replicas": 2})
CLUSTER = Cluster(system=SYSTEM)
CHECKS = {Tool.CHAOS_MESH: check_workflow, Tool.LITMUS: check_engine}
HEALTHY, RECOVERS = "  - {name: recovery, lasts: 8s}\n", "objectives:\n  - {sli: recovery, within: 5s}\n"


def file_of(*faults, lasts="20s"):
    """Return a scenario's file with these faults in one phase between two without any."""
    lines = "".join(f"      - {yaml.safe_dump(fault, default_flow_style=True, width=500)}" for fault in faults)
    return (
        "scenario: made\nstory: Something is hurt, and something must hold.\nload: {arrivals_per_s: 200}\n"
        "standbys: {postgres: synchronous}\nphases:\n"
        f"  - {{name: baseline, lasts: 24s}}\n  - name: fault\n    lasts: {lasts}\n"
        + (f"    faults:\n{lines}{HEALTHY}{RECOVERS}" if faults else HEALTHY)
    )


def export_of(tool, *faults, cluster=CLUSTER, lasts="20s", **choices):
    source = source_of(file_of(*faults, lasts=lasts), PROJECT / "made.yaml")
    plan = plan_of(source, SETTINGS, profile="quick", seed=0)
    made = exported(plan, source.document, tool, cluster, **choices)
    manifests = list(yaml.safe_load_all(made.text))
    for manifest in manifests:
        CHECKS[tool](manifest)
    return made, manifests


def done_by_chaos_mesh(*faults, **choices):
    """Return what a workflow does, by template, without what only says when."""
    _, (workflow,) = export_of(Tool.CHAOS_MESH, *faults, **choices)
    return {
        template["name"]: next(
            iter(template[key] for key in ("networkChaos", "podChaos", "timeChaos", "schedule") if key in template)
        )
        for template in workflow["spec"]["templates"]
        if template["templateType"] not in {"Serial", "Parallel", "Suspend"}
    }


def environment_of(*faults, **choices):
    """Return the experiment and the environment of each engine."""
    _, engines = export_of(Tool.LITMUS, *faults, **choices)
    experiments = [engine["spec"]["experiments"][0] for engine in engines]
    return [
        (each["name"], {pair["name"]: pair["value"] for pair in each["spec"]["components"]["env"]})
        for each in experiments
    ]


def refused(tool, *faults, **choices):
    with pytest.raises(SpecError) as raised:
        export_of(tool, *faults, **choices)
    error = raised.value
    mistakes = error.mistakes if isinstance(error, MultipleSpecError) else [error]
    return [f"{mistake.where.rpartition(': ')[2]}: {mistake.what}; {mistake.fix}" for mistake in mistakes]


def fidelity_of(fault, tool):
    """Return how well a kind is said, beside a fault that can be."""
    beside = {"kind": "kill", "target": "redis" if fault.get("target") == "nginx" else "nginx", "at": "30s"}
    made, _ = export_of(tool, fault, beside, lasts="40s", is_partial=True)
    return made.rows[0][1].fidelity


SELECTED = {"namespaces": ["default"], "labelSelectors": {"app.kubernetes.io/name": "redis"}}
REPLICAS = {"namespaces": ["default"], "labelSelectors": {"app.kubernetes.io/name": "reference"}}


def test_the_page_says_what_becomes_of_each_kind():
    """Every kind that a scenario may have stands in the table of docs/exchange.md, with what the code answers."""
    page = (PROJECT / "docs/exchange.md").read_text()
    rows = [row.split("|")[1:4] for row in page.splitlines() if row.startswith("| `") and row.count("|") == 4]
    told = {kind: tuple(cells[1:]) for cells in rows for kind in re.findall(r"`([a-z-]+)`", cells[0])}

    assert set(EXAMPLES) == known()
    for kind, fault in EXAMPLES.items():
        for tool, cell in zip(Tool, told[kind], strict=True):
            assert cell.strip().partition(":")[0] == fidelity_of({"kind": kind, **fault}, tool), (kind, tool)


def test_every_scenario_of_the_library_is_taken_or_refused():
    """In whatever form the library has faults: none is passed over, and enough of them can be said to show it."""
    taken = dict.fromkeys(Tool, 0)
    for path in sorted((PROJECT / "scenarios").rglob("*.yaml")):
        source = source_of(path.read_text(), path)
        plan = plan_of(source, SETTINGS, profile="quick", seed=0)
        for tool in Tool:
            try:
                made = exported(plan, source.document, tool, CLUSTER, is_partial=True)
            except SpecError:
                continue
            assert [action for action, _ in made.rows] == list(plan.actions)
            for manifest in yaml.safe_load_all(made.text):
                CHECKS[tool](manifest)
            taken[tool] += 1

    assert min(taken.values()) >= 5, taken


def test_phases_follow_each_other_and_faults_have_their_windows():
    """A phase without a fault waits; in one with some each comes at its time, and the phase lasts as long as it says."""
    at, until = {"at": "2500ms"}, {"until": "4s"}
    slow, down = {"kind": "latency", "target": "redis", "delay": "400ms"}, {"kind": "down", "target": "postgres"}

    _, (workflow,) = export_of(Tool.CHAOS_MESH, slow | until, down | at)

    assert workflow["metadata"]["name"] == "made"
    templates = {
        template["name"]: (template["templateType"], template.get("deadline"), template.get("children"))
        for template in workflow["spec"]["templates"]
    }
    assert templates == {
        "scenario": ("Serial", None, ["phase-1-baseline", "phase-2-fault", "phase-3-recovery"]),
        "phase-1-baseline": ("Suspend", "24s", None),
        "phase-2-fault": ("Parallel", None, ["hold-2", "fault-1", "fault-2-later"]),
        "hold-2": ("Suspend", "20s", None),
        "fault-1": ("NetworkChaos", "4s", None),
        "fault-2-later": ("Serial", None, ["fault-2-waits", "fault-2"]),
        "fault-2-waits": ("Suspend", "2500ms", None),
        "fault-2": ("PodChaos", "17500ms", None),
        "phase-3-recovery": ("Suspend", "8s", None),
    }


@pytest.mark.parametrize(
    ("fault", "does"),
    [
        pytest.param(
            {"kind": "latency", "target": "redis", "delay": "400ms", "jitter": "20ms"},
            {"action": "delay", "delay": {"latency": "400ms", "jitter": "20ms"}, "direction": "to"},
            id="late answers are what the target sends",
        ),
        pytest.param(
            {"kind": "bandwidth", "target": "redis", "rate": "50KB/s"},
            {
                "action": "bandwidth",
                "bandwidth": {"rate": "50kbps", "limit": 20 << 20, "buffer": 10_000},
                "direction": "to",
            },
            id="narrow",
        ),
        pytest.param({"kind": "blackhole", "target": "redis"}, {"action": "partition", "direction": "both"}, id="cut"),
        pytest.param(
            {"kind": "half-open", "target": "redis", "stream": "downstream"},
            {"action": "partition", "direction": "to"},
            id="what the target sends is lost",
        ),
        pytest.param(
            {"kind": "half-open", "target": "redis", "stream": "upstream"},
            {"action": "partition", "direction": "from"},
            id="what the target is sent is lost",
        ),
    ],
)
def test_chaos_mesh_hurts_the_path_between_a_target_and_its_clients(fault, does):
    """And no other: a probe that was cut as well would have the pod restarted."""
    both = {"mode": "all", "selector": SELECTED, "target": {"mode": "all", "selector": REPLICAS}}

    assert done_by_chaos_mesh(fault) == {"fault-1": both | does}


@pytest.mark.parametrize(
    ("fault", "does"),
    [
        pytest.param({"kind": "down", "target": "redis"}, {"action": "pod-failure"}, id="down"),
        pytest.param({"kind": "kill", "target": "redis"}, {"action": "pod-failure"}, id="killed and away"),
        pytest.param(
            {"kind": "restart", "target": "redis"},
            {"action": "pod-kill", "gracePeriod": 5},
            id="asked to end, then made to",
        ),
    ],
)
def test_chaos_mesh_takes_pods_away(fault, does):
    """All of a part's pods: there is one process of it here."""
    assert done_by_chaos_mesh(fault) == {"fault-1": {"mode": "all", "selector": SELECTED} | does}


@pytest.mark.parametrize(("wall", "offset"), [("+1h", "3600000ms"), ("-2.5s", "-2500ms")])
def test_a_wall_clock_is_set_off_for_a_pod(wall, offset):
    """Of any one replica, by as much as here; a monotonic clock would be set back at the end, so it is refused."""
    skew = {"kind": "clock-skew", "target": "replica-1", "wall": wall}

    selected = {"mode": "one", "selector": REPLICAS}
    assert done_by_chaos_mesh(skew) == {"fault-1": selected | {"timeOffset": offset, "clockIds": ["CLOCK_REALTIME"]}}
    assert "never runs backwards" in refused(Tool.CHAOS_MESH, skew | {"monotonic": "1h"})[0]
    assert "no fault sets a clock off" in refused(Tool.LITMUS, skew)[0]


def test_a_crash_loop_is_a_schedule():
    """In whole seconds; its library knows no others."""
    loop = {"kind": "crash-loop", "target": "redis", "every": "2s"}
    each = {"mode": "all", "selector": SELECTED, "action": "pod-kill", "gracePeriod": 0}

    schedule = {"schedule": "@every 2s", "concurrencyPolicy": "Allow", "type": "PodChaos", "podChaos": each}
    assert done_by_chaos_mesh(loop) == {"fault-1": schedule}
    assert "whole seconds only" in refused(Tool.CHAOS_MESH, loop | {"every": "1500ms"})[0]
    assert "whole seconds only" in refused(Tool.LITMUS, loop | {"every": "1500ms"})[0]


def test_one_replica_is_any_pod_of_its_kind_unless_it_has_a_label_of_its_own():
    """Pods of a deployment have no number; a client of an edge is one of them just so."""
    kill, cut = {"kind": "kill", "target": "replica-2"}, {"kind": "blackhole", "target": "replica-1.redis"}
    labelled = Cluster(system=SYSTEM, labels={"replica-2": {"pod-name": "app-1"}, "redis": {"app": "r", "tier": "x"}})

    assert done_by_chaos_mesh(kill)["fault-1"]["mode"] == "one"
    assert done_by_chaos_mesh(kill)["fault-1"]["selector"] == REPLICAS
    edge = done_by_chaos_mesh(cut)["fault-1"]
    assert (edge["mode"], edge["selector"], edge["target"]) == ("all", SELECTED, {"mode": "one", "selector": REPLICAS})
    own = done_by_chaos_mesh(kill, cluster=labelled)["fault-1"]
    assert (own["mode"], own["selector"]["labelSelectors"]) == ("all", {"pod-name": "app-1"})
    assert done_by_chaos_mesh(cut, cluster=labelled)["fault-1"]["selector"]["labelSelectors"] == {
        "app": "r",
        "tier": "x",
    }
    alone = Cluster(system=SYSTEM.model_copy(update={"replicas": 1}))
    assert done_by_chaos_mesh({"kind": "kill", "target": "replica-1"}, cluster=alone)["fault-1"]["mode"] == "all"


def test_each_kind_of_client_has_its_own_step():
    """Replicas and workers have labels of their own, and one selector takes what has all of its labels."""
    subject = SYSTEM.subject.model_copy(update={"workers": {"mailer": Worker(command=("mail",), count=2)}})
    cluster = Cluster(system=SYSTEM.model_copy(update={"subject": subject}))

    steps = done_by_chaos_mesh({"kind": "latency", "target": "redis", "delay": "400ms"}, cluster=cluster)

    assert list(steps) == ["fault-1-1", "fault-1-2"]
    named = [step["target"]["selector"]["labelSelectors"]["app.kubernetes.io/name"] for step in steps.values()]
    assert named == ["reference", "mailer"]
    assert [step["target"]["mode"] for step in steps.values()] == ["all", "all"]
    one = cluster.pods_of("mailer-2")
    assert (one.is_one, one.labels) == (True, {"app.kubernetes.io/name": "mailer"})


def test_litmus_waits_for_each_fault_by_its_ramp_time():
    """All engines are applied at once; each begins as long after that as the scenario says."""
    slow = {"kind": "latency", "target": "redis", "delay": "400ms", "jitter": "20ms", "for": "6s"}
    narrow = {"kind": "bandwidth", "target": "postgres", "rate": "50KB/s", "at": "7s"}

    made = environment_of(slow, narrow)

    every = {"PODS_AFFECTED_PERC": "100"}
    latency = {"NETWORK_LATENCY": "400", "JITTER": "20", "TOTAL_CHAOS_DURATION": "6", "RAMP_TIME": "24"}
    rate = {"NETWORK_BANDWIDTH": "50kbps", "BURST": "32kb", "LIMIT": "2mb", "TOTAL_CHAOS_DURATION": "13"}
    assert made == [
        ("pod-network-latency", every | latency),
        ("pod-network-rate-limit", every | rate | {"RAMP_TIME": "31"}),
    ]


@pytest.mark.parametrize(
    ("fault", "name", "given"),
    [
        pytest.param({"kind": "kill"}, "pod-delete", {"FORCE": "true", "CHAOS_INTERVAL": "20"}, id="once"),
        pytest.param({"kind": "restart"}, "pod-delete", {"FORCE": "false", "CHAOS_INTERVAL": "20"}, id="asked"),
        pytest.param(
            {"kind": "crash-loop", "every": "2s"}, "pod-delete", {"FORCE": "true", "CHAOS_INTERVAL": "2"}, id="again"
        ),
        pytest.param({"kind": "blackhole"}, "pod-network-loss", {"NETWORK_PACKET_LOSS_PERCENTAGE": "100"}, id="cut"),
        pytest.param(
            {"kind": "half-open", "stream": "downstream"},
            "pod-network-loss",
            {"NETWORK_PACKET_LOSS_PERCENTAGE": "100"},
            id="answers are lost",
        ),
    ],
)
def test_litmus_deletes_pods_and_loses_packets(fault, name, given):
    """With the environment that its chart of that name reads."""
    when = {"TOTAL_CHAOS_DURATION": "20", "RAMP_TIME": "24", "PODS_AFFECTED_PERC": "100"}

    assert environment_of(fault | {"target": "redis"}) == [(name, when | given)]


def test_litmus_is_told_what_owns_the_pods():
    """It hits none whose owner is of another kind; a component is assumed to be a statefulset, a replica is not."""
    kill = {"kind": "kill", "target": "redis"}
    cluster = Cluster(system=SYSTEM, namespace="stage", labels={"redis": {"app": "r"}}, workloads={"redis": "rollout"})

    (_, (own,)), (_, (told,)) = export_of(Tool.LITMUS, kill), export_of(Tool.LITMUS, kill, cluster=cluster)
    (_, (one,)) = export_of(Tool.LITMUS, kill | {"target": "replica-1"})

    label = "app.kubernetes.io/name"
    assert own["spec"]["appinfo"] == {"appns": "default", "applabel": f"{label}=redis", "appkind": "statefulset"}
    assert told["spec"]["appinfo"] == {"appns": "stage", "applabel": "app=r", "appkind": "rollout"}
    assert one["spec"]["appinfo"] == {"appns": "default", "applabel": f"{label}=reference", "appkind": "deployment"}
    assert (own["metadata"]["name"], own["spec"]["chaosServiceAccount"]) == ("made-fault-1", "pod-delete-sa")
    environment = {pair["name"]: pair["value"] for pair in one["spec"]["experiments"][0]["spec"]["components"]["env"]}
    assert environment["PODS_AFFECTED_PERC"] == "0"


def test_litmus_says_that_it_rounds():
    """Half a second is told; whole ones are not."""
    kill = {"kind": "kill", "target": "redis"}

    rounded, environment = export_of(Tool.LITMUS, kill | {"at": "500ms"}), environment_of(kill | {"at": "500ms"})
    assert "rounded to whole seconds" in rounded[0].rows[0][1].why
    assert environment[0][1]["TOTAL_CHAOS_DURATION"] == "20"
    assert environment_of(kill | {"at": "5s", "for": "400ms"})[0][1]["TOTAL_CHAOS_DURATION"] == "1"
    assert "rounded" not in export_of(Tool.LITMUS, kill)[0].rows[0][1].why


def test_what_cannot_be_said_is_refused_by_name_all_at_once():
    """Each at its place in the file, and nothing is written; with --partial it is left out, and the annotation says so."""
    faults = [
        {"kind": "pause", "target": "redis"},
        {"kind": "kill", "target": "postgres"},
        {"kind": "spike", "times": 2.0},
    ]

    assert [told.split(": ")[0] for told in refused(Tool.CHAOS_MESH, *faults)] == [
        "phases[1].faults[0]",
        "phases[1].faults[2]",
    ]
    assert "`redis paused` cannot be said for Litmus 3.28.0: no fault freezes" in refused(Tool.LITMUS, *faults)[0]
    assert refused(Tool.LITMUS, *faults)[0].endswith("leave it out with --partial")
    made, (workflow,) = export_of(Tool.CHAOS_MESH, *faults, is_partial=True)
    said = workflow["metadata"]["annotations"]
    assert said["readiness/fault-1"].startswith("unsupported: redis paused: ")
    assert said["readiness/fault-2"].startswith("approximate: postgres killed: ")
    assert [row.split()[0] for row in made.table] == ["fault-1", "fault-2", "fault-3"]
    assert [name for name in workflow["spec"]["templates"] if name["name"] == "fault-2"]
    assert not [name for name in workflow["spec"]["templates"] if name["name"] in {"fault-1", "fault-3"}]


def test_nothing_that_can_be_said_is_refused_also_in_part():
    """A workflow that only waits would look like a survived fault."""
    paused = {"kind": "pause", "target": "redis"}

    assert "cannot be said" in refused(Tool.CHAOS_MESH, paused, is_partial=True)[0]
    assert "nothing is left of it there" in refused(Tool.CHAOS_MESH, paused)[0]
    assert "has no fault to export" in refused(Tool.CHAOS_MESH)[0]
    proxy = {"kind": "kill", "target": "proxy"}
    assert "the fault proxy is the harness's own" in refused(Tool.CHAOS_MESH, proxy)[0]


def test_edges_and_several_labels_are_not_for_litmus():
    """It knows the other end of a connection by its address, and takes each of several labels by itself."""
    slow = {"kind": "latency", "target": "replica-1.redis", "delay": "400ms"}
    two = Cluster(system=SYSTEM, labels={"redis": {"app": "r", "tier": "x"}})

    assert "not by labels" in refused(Tool.LITMUS, slow)[0]
    assert (
        "for a set of pods of its own (app=r,tier=x)"
        in refused(Tool.LITMUS, slow | {"target": "redis"}, cluster=two)[0]
    )
    assert "what a pod sends" in refused(Tool.LITMUS, {"kind": "half-open", "stream": "upstream", "target": "redis"})[0]
    down = {"kind": "down", "target": "replica-1.redis"}
    assert "of some clients only" in refused(Tool.CHAOS_MESH, down)[0]


def test_what_was_assumed_of_pods_is_said():
    """Labels that the caller gave are not; those of a client are, where nothing was said of it."""
    slow = {"kind": "latency", "target": "redis", "delay": "400ms"}
    _, (assumed,) = export_of(Tool.CHAOS_MESH, slow)
    _, (given,) = export_of(Tool.CHAOS_MESH, slow, cluster=Cluster(system=SYSTEM, labels={"redis": {"app": "r"}}))

    said = {key: text for key, text in assumed["metadata"]["annotations"].items() if "assumed" in key}
    assert said == {
        "readiness/assumed.redis": "app.kubernetes.io/name=redis",
        "readiness/assumed.replicas": "app.kubernetes.io/name=reference",
    }
    assert [key for key in given["metadata"]["annotations"] if "assumed" in key] == ["readiness/assumed.replicas"]


@pytest.mark.parametrize(
    ("pairs", "told"),
    [
        (["redis"], "'redis' is given nothing"),
        (["redis="], "'redis' is given nothing"),
        (["redsi=app=r"], "there is no 'redsi'"),
        (["redis=app"], "'app' is no label"),
        (["redis=app=r,"], "'' is no label"),
        (["redis=app=r r"], "'app=r r' is no label"),
        (["redis=app=r", "redis=app=s"], "'redis' is given twice"),
    ],
)
def test_slips_in_selectors_are_refused(pairs, told):
    """With what there is."""
    with pytest.raises(SpecError) as raised:
        labels_from(pairs, parts_of(SYSTEM))

    assert raised.value.what == told
    assert raised.value.fix


def test_selectors_and_workloads_are_read():
    """A label may have a prefix, and no value; a workload is of a kind that owns pods."""
    read = labels_from(["redis=app=r,tier=", "replica-1=apps.kubernetes.io/pod-index=0"], parts_of(SYSTEM))

    assert read == {"redis": {"app": "r", "tier": ""}, "replica-1": {"apps.kubernetes.io/pod-index": "0"}}
    assert workloads_from(["redis=daemonset"], parts_of(SYSTEM)) == {"redis": "daemonset"}
    with pytest.raises(SpecError, match="owns no pods"):
        workloads_from(["redis=pod"], parts_of(SYSTEM))
    assert {"redis", "postgres", "replicas", "replica-2", "nginx"} <= set(parts_of(SYSTEM))


def test_the_command_prints_manifests_and_tells_beside_them(tmp_path, monkeypatch):
    """What is printed can be piped into kubectl; a file that is there stays."""
    monkeypatch.chdir(PROJECT)
    place = tmp_path / "workflow.yaml"
    arguments = [
        "export",
        "redis-latency",
        "--to",
        "chaos-mesh",
        "--selector",
        "redis=app=redis",
        "--namespace",
        "shop",
    ]

    printed = CliRunner().invoke(app, arguments, catch_exceptions=False)
    written = CliRunner().invoke(app, [*arguments, "--out", str(place)], catch_exceptions=False)

    assert printed.stdout == place.read_text()
    assert printed.stdout.splitlines()[0] == "# The faults of the scenario redis-latency, for Chaos Mesh 2.8.3."
    (workflow,) = yaml.safe_load_all(printed.stdout)
    check_workflow(workflow)
    assert workflow["metadata"]["namespace"] == "shop"
    assert printed.stderr.splitlines()[0].startswith("fault-1  redis +")
    assert "kubectl apply --dry-run=server" in written.stderr
    with pytest.raises(SpecError, match="there already"):
        CliRunner().invoke(app, [*arguments, "--out", str(place)], catch_exceptions=False)
