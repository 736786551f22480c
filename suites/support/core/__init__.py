"""What the suites of the core share: simulated time, servers that do as told, and the adapters of contract suites."""
