"""WHAT WE SAY: pages, pictures, Allure and the terminal. Everything that is written passes `redaction`.

write_experiment, write_run    a run's folder: evidence, pictures, report.md, index.html, verdict.json
rebuild                        all pages of a finished run again, from its evidence
attach_experiment              one experiment in the running Allure test; nothing happens without `--alluredir`
write_allure_context           environment, categories and executor beside Allure's results
build_allure_report            Allure's own HTML, or a sentence why not
write_manifest, verified       an experiment's evidence by its hashes, and judged again
write_run_manifest, verified_run    the same for a whole run: none of its experiments may be missing
Progress, verdict_table        the terminal
"""

from harness.report.allure import attach_experiment
from harness.report.allure_context import write_allure_context
from harness.report.allure_site import build_allure_report
from harness.report.bundle import experiments_in, verified, verified_run, write_manifest, write_run_manifest
from harness.report.experiment import write_experiment
from harness.report.judged import Experiment
from harness.report.redaction import NO_SECRETS, Secrets
from harness.report.run import rebuild, write_run
from harness.report.terminal import Progress, verdict_table

__all__ = [
    "NO_SECRETS",
    "Experiment",
    "Progress",
    "Secrets",
    "attach_experiment",
    "build_allure_report",
    "experiments_in",
    "rebuild",
    "verdict_table",
    "verified",
    "verified_run",
    "write_allure_context",
    "write_experiment",
    "write_manifest",
    "write_run",
    "write_run_manifest",
]
