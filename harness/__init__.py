"""Judge production readiness: run a service with its real dependencies, press it, break it, and say how sure we are."""
