"""What Chaos Mesh and Litmus publish of the manifests that are written for them, and what they refuse besides.

Written by hand from the published schemas, and only of what is written here; a key that is not listed is a mistake.

Sources: Chaos Mesh 2.8.3, `config/crd/bases/chaos-mesh.org_workflows.yaml`, and the webhooks beside
`api/v1alpha1/workflow_types.go` and `networkchaos_types.go`; Litmus 3.28.0, `deploy/crds/chaosengine_crd.yaml` of
chaos-operator, and the environment that `faults/kubernetes/*/fault.yaml` of chaos-charts gives each experiment.
"""

from __future__ import annotations

from collections import Counter

from jsonschema import Draft202012Validator

STRING, COUNT = {"type": "string"}, {"type": "integer", "minimum": 0}
SPAN = {"type": "string", "pattern": r"^[0-9]+(ms|s)$"}
DNS = {"type": "string", "pattern": r"^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$"}
MODE = {"enum": ["one", "all", "fixed", "fixed-percent", "random-max-percent"]}


def _object(*required, **properties):
    return {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}


def _list(of):
    return {"type": "array", "items": of, "minItems": 1}


_LABELS = {"type": "object", "additionalProperties": {"type": "string", "pattern": r"^[A-Za-z0-9._-]{0,63}$"}}
_SELECTOR = _object("namespaces", "labelSelectors", namespaces=_list(STRING), labelSelectors=_LABELS)
_SELECTED = {"mode": MODE, "selector": _SELECTOR}

NETWORK_CHAOS = _object(
    "action",
    "mode",
    "selector",
    **_SELECTED,
    action={"enum": ["netem", "delay", "loss", "duplicate", "corrupt", "partition", "bandwidth"]},
    direction={"enum": ["to", "from", "both"]},
    target=_object("mode", "selector", **_SELECTED),
    delay=_object("latency", latency=SPAN, jitter=SPAN),
    bandwidth=_object(
        "rate",
        "limit",
        "buffer",
        rate={"type": "string", "pattern": "^[0-9]+kbps$"},
        limit={"type": "integer", "minimum": 1, "maximum": 2**31 - 1},
        buffer={"type": "integer", "minimum": 1, "maximum": 2**31 - 1},
    ),
)
POD_CHAOS = _object(
    "action",
    "mode",
    "selector",
    **_SELECTED,
    action={"enum": ["pod-kill", "pod-failure", "container-kill"]},
    gracePeriod=COUNT,
)
TIME_CHAOS = _object(
    "mode",
    "selector",
    "timeOffset",
    **_SELECTED,
    timeOffset={"type": "string", "pattern": r"^-?[0-9]+(ms|s)$"},
    clockIds=_list({"type": "string", "pattern": "^CLOCK_[A-Z_]+$"}),
)
SCHEDULE = _object(
    "schedule",
    "type",
    schedule={"type": "string", "pattern": "^@every [1-9][0-9]*s$"},
    concurrencyPolicy={"enum": ["Forbid", "Allow"]},
    type={"const": "PodChaos"},
    podChaos=POD_CHAOS,
)
TEMPLATE = _object(
    "name",
    "templateType",
    name=DNS,
    templateType={"enum": ["Serial", "Parallel", "Suspend", "NetworkChaos", "PodChaos", "TimeChaos", "Schedule"]},
    deadline=SPAN,
    children=_list(STRING),
    networkChaos=NETWORK_CHAOS,
    podChaos=POD_CHAOS,
    timeChaos=TIME_CHAOS,
    schedule=SCHEDULE,
)
_METADATA = _object(
    "name",
    "namespace",
    name={"type": "string", "pattern": "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"},
    namespace=STRING,
    annotations={
        "type": "object",
        "propertyNames": {"pattern": r"^readiness/[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$"},
        "additionalProperties": STRING,
    },
)
WORKFLOW = _object(
    "apiVersion",
    "kind",
    "metadata",
    "spec",
    apiVersion={"const": "chaos-mesh.org/v1alpha1"},
    kind={"const": "Workflow"},
    metadata=_METADATA,
    spec=_object("entry", "templates", entry=STRING, templates=_list(TEMPLATE)),
)

HAS = {
    "Serial": {"children"},
    "Parallel": {"children"},
    "Suspend": {"deadline"},
    "NetworkChaos": {"deadline", "networkChaos"},
    "PodChaos": {"deadline", "podChaos"},
    "TimeChaos": {"deadline", "timeChaos"},
    "Schedule": {"deadline", "schedule"},
}
"""What a template of a type has beside its name; Chaos Mesh refuses the others' keys."""

DOES = {"delay": "delay", "bandwidth": "bandwidth"}
"""The key that a NetworkChaos of an action must have, where it needs one."""

_EVERY = {"TOTAL_CHAOS_DURATION", "RAMP_TIME", "PODS_AFFECTED_PERC"}
EXPERIMENTS = {
    "pod-delete": _EVERY | {"CHAOS_INTERVAL", "FORCE"},
    "pod-network-latency": _EVERY | {"NETWORK_LATENCY", "JITTER"},
    "pod-network-loss": _EVERY | {"NETWORK_PACKET_LOSS_PERCENTAGE"},
    "pod-network-rate-limit": _EVERY | {"NETWORK_BANDWIDTH", "BURST", "LIMIT"},
}
"""The environment of each experiment of Litmus that is named here: what is not in it is passed over there in silence."""

TEXTS = {"FORCE": ("true", "false"), "BURST": ("32kb",), "LIMIT": ("2mb",)}
"""Values that are no whole numbers; a rate aside, everything else is, and is read as 0 where it is not."""

ENGINE = _object(
    "apiVersion",
    "kind",
    "metadata",
    "spec",
    apiVersion={"const": "litmuschaos.io/v1alpha1"},
    kind={"const": "ChaosEngine"},
    metadata=_METADATA,
    spec=_object(
        "engineState",
        "appinfo",
        "chaosServiceAccount",
        "experiments",
        engineState={"enum": ["active", "stop"]},
        appinfo=_object(
            "appns",
            "applabel",
            "appkind",
            appns=STRING,
            applabel={"type": "string", "pattern": "^[^,=]+=[^,=]*$"},
            appkind={"enum": ["deployment", "statefulset", "daemonset", "deploymentconfig", "rollout"]},
        ),
        chaosServiceAccount=STRING,
        experiments={
            "type": "array",
            "minItems": 1,
            "maxItems": 1,
            "items": _object(
                "name",
                "spec",
                name={"enum": list(EXPERIMENTS)},
                spec=_object(
                    "components",
                    components=_object("env", env=_list(_object("name", "value", name=STRING, value=STRING))),
                ),
            ),
        },
    ),
)


def check_workflow(manifest):
    """Assert that Chaos Mesh takes a workflow."""
    _check(WORKFLOW, manifest)
    templates = manifest["spec"]["templates"]
    named = Counter(template["name"] for template in templates)
    assert max(named.values()) == 1, named
    assert manifest["spec"]["entry"] in named
    for template in templates:
        assert set(template) == {"name", "templateType"} | HAS[template["templateType"]], template
        assert set(template.get("children", ())) <= set(named)
        if does := template.get("networkChaos"):
            needed = {DOES[does["action"]]} if does["action"] in DOES else set()
            assert {"delay", "bandwidth"} & set(does) == needed
            assert does["direction"] == "to" or "target" in does
    children = Counter(child for template in templates for child in template.get("children", ()))
    assert children == Counter(name for name in named if name != manifest["spec"]["entry"]), "each is done once"


def check_engine(manifest):
    """Assert that Litmus takes an engine, and reads all of its environment."""
    _check(ENGINE, manifest)
    (experiment,) = manifest["spec"]["experiments"]
    given = {each["name"]: each["value"] for each in experiment["spec"]["components"]["env"]}
    assert set(given) == EXPERIMENTS[experiment["name"]]
    for name, value in given.items():
        if name in TEXTS:
            assert value in TEXTS[name]
        else:
            assert value.removesuffix("kbps" if name == "NETWORK_BANDWIDTH" else "").isdecimal(), (name, value)
    assert int(given["TOTAL_CHAOS_DURATION"]) >= 1


def _check(schema, manifest):
    Draft202012Validator.check_schema(schema)
    errors = [f"{error.json_path}: {error.message}" for error in Draft202012Validator(schema).iter_errors(manifest)]
    assert not errors, errors
