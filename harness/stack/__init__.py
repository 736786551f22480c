"""WHAT RUNS: services, edges and stacks; one file per component, one per backend."""
