"""Experiments and scenarios of other tools, and ours for them: read, written, and what does not mean the same refused.

experiment.py, hypothesis.py, method.py, toxics.py    a Chaos Toolkit experiment, read
scenario.py                                           the same as a scenario's file, with what was assumed
journal.py                                            a finished experiment as a Chaos Toolkit journal
export.py, chaos_mesh.py, litmus.py, pods.py          a scenario's faults, written for what does this to a cluster
fidelity.py                                           how much of a fault is lost on that way

Nothing here runs or imports what a file names: a provider is a name that is looked up in a table.
"""
