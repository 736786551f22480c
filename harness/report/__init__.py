"""WHAT PEOPLE LOOK AT: pages, pictures, Allure and the terminal. What it is given holds no secrets.

write_experiment, write_run    a run's folder: evidence, pictures, report.md, index.html, verdict.json
rebuild                        all pages of a finished run again, from its evidence
attach_experiment              one experiment in the running Allure test; nothing happens without `--alluredir`
write_allure_context           environment, categories and executor beside Allure's results
build_allure_report            Allure's own HTML, or a sentence why not
Progress, verdict_table        the terminal
"""

from harness.report.allure.attach import attach_experiment
from harness.report.allure.context import write_allure_context
from harness.report.allure.site import build_allure_report
from harness.report.pages import write_experiment
from harness.report.run import rebuild, write_run
from harness.report.terminal import Progress, verdict_table

__all__ = [
    "Progress",
    "attach_experiment",
    "build_allure_report",
    "rebuild",
    "verdict_table",
    "write_allure_context",
    "write_experiment",
    "write_run",
]
