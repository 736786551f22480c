"""Every file of a run's folder that outlives the run, named once; what writes or reads one takes its name from here.

reports/runs/<id>/              the run
├── verdict.json                outcome, seed, profile, backend, command, and every experiment's verdict
├── report.md, index.html       its pages
├── ledger.jsonl                everything that had to be undone
├── pages-ledger.jsonl          the same of building pages afterwards; only while that is under way
├── guardian.log                what the guardian had to say
├── run-manifest.json           the manifests of all experiments by their hashes: the last file of a whole run
├── allure-results/, allure/    what Allure was told, and its own report
└── <scenario>/                 one experiment
    ├── samples.parquet         every request
    ├── operations.parquet      what remembered requests wrote and read; only if there were any
    ├── echoes.parquet          whose answers requests got; only if that was asked
    ├── accounts.jsonl          what became of what was only accepted, a line each; only if that was asked
    ├── circuits.jsonl          what circuit breakers did, as replicas told it; only if that was asked
    ├── events.jsonl            the timeline, a line each
    ├── history.json            everything else that was seen: phases, faults, doses, load, machine, failures
    ├── scenario.yaml           the scenario as its author wrote it
    ├── scenario.json           the scenario as it was run
    ├── system.json             versions and machine
    ├── timeline.csv            the run second by second
    ├── verdict.json            what it means
    ├── manifest.json           size and hash of everything above and of the logs: the last file of a whole experiment
    ├── report.md, index.html   its pages
    ├── plot.svg, plot-dark.svg, plot.png
    └── logs/                   one file a service, and load.log
"""

from __future__ import annotations

VERDICT_FILE = "verdict.json"
MARKDOWN_FILE = "report.md"
PAGE_FILE = "index.html"

LEDGER_FILE = "ledger.jsonl"
PAGES_LEDGER_FILE = f"pages-{LEDGER_FILE}"
GUARDIAN_LOG = "guardian.log"
RUN_MANIFEST_FILE = "run-manifest.json"
ALLURE_RESULTS = "allure-results"
ALLURE_REPORT = "allure"

SAMPLES_FILE = "samples.parquet"
OPERATIONS_FILE = "operations.parquet"
ECHOES_FILE = "echoes.parquet"
ACCOUNTS_FILE = "accounts.jsonl"
CIRCUITS_FILE = "circuits.jsonl"
EVENTS_FILE = "events.jsonl"
HISTORY_FILE = "history.json"
SCENARIO_TEXT_FILE = "scenario.yaml"
SCENARIO_FILE = "scenario.json"
SYSTEM_FILE = "system.json"
TIMELINE_FILE = "timeline.csv"
MANIFEST_FILE = "manifest.json"
PLOT_SVG_FILE = "plot.svg"
PLOT_DARK_FILE = "plot-dark.svg"
PLOT_PNG_FILE = "plot.png"
LOGS = "logs"
LOAD_LOG = "load.log"

EVIDENCE = (
    SAMPLES_FILE,
    EVENTS_FILE,
    HISTORY_FILE,
    SCENARIO_TEXT_FILE,
    SCENARIO_FILE,
    SYSTEM_FILE,
    TIMELINE_FILE,
    VERDICT_FILE,
)
"""What every manifest of an experiment names; logs and `SOMETIMES_EVIDENCE` besides, where they are there."""

SOMETIMES_EVIDENCE = (OPERATIONS_FILE, ECHOES_FILE, ACCOUNTS_FILE, CIRCUITS_FILE)
"""What is only written where a scenario's promises need it."""

RUN_EVIDENCE = (VERDICT_FILE, LEDGER_FILE)
"""Of a whole run, beside its experiments."""
