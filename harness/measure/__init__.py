"""WHAT HAPPENED: counts, recovery and series, computed from values alone."""
