"""The load generator's own process, and the only place that knows Locust, which patches sockets when imported."""
