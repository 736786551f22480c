"""HOW ONE BEGINS: what a project's folder tells of its service, and the first files that are written from that.

folder.py                   a folder, read within limits
clue.py                     what a source may tell: a way to start, what it depends on, a path, a variable
sources/                    one file per source: Python, Node, Go, Procfile, Dockerfile, Compose
routes.py, variables.py     paths that are answered, and variables that are read, in any language
proposal.py                 all of it as one proposal, with what could not be known
settings.py, scenarios.py   the proposal as readiness.toml, and as scenarios
measured.py                 limits from a run that was measured

Nothing here runs or imports what it reads.
"""
