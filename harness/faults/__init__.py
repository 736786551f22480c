"""HOW IT BREAKS: one file per family of faults, a ledger written ahead, and a guardian that undoes after a crash."""
