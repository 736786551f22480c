"""Judge production readiness: run a service with its real dependencies, load it, break it, and say how sure we are."""
