"""How the parts of the reference core, and their peers, are built for the suites in `suites/contract/core/`."""
