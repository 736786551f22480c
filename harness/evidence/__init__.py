"""WHAT IS LEFT OF A RUN: its folder, written and read, known by its hashes, and without secrets.

write_evidence, read_experiment     one experiment: what was seen, and what was concluded
write_manifest, verified            its evidence by its hashes, and judged again
write_run_manifest, verified_run    the same for a whole run: none of its experiments may be missing
experiments_in                      the experiments' folders of a run
EvidenceFolder, Secrets             the one way into a run's folder, and what must not get there
"""

from harness.evidence.bundle import experiments_in, verified, verified_run, write_manifest, write_run_manifest
from harness.evidence.experiment import Experiment, read_experiment, write_evidence
from harness.evidence.folder import EvidenceFolder
from harness.evidence.redaction import NO_SECRETS, Secrets

__all__ = [
    "NO_SECRETS",
    "EvidenceFolder",
    "Experiment",
    "Secrets",
    "experiments_in",
    "read_experiment",
    "verified",
    "verified_run",
    "write_evidence",
    "write_manifest",
    "write_run_manifest",
]
