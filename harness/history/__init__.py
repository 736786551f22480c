"""WHAT WAS SEEN, as values: samples, marks, and reading and writing a run's folder."""
