"""HOW IT IS PRESSED: open arrivals from a child process, and the exact record of every request."""
