"""WHAT WAS SEEN, as values: samples, marks, and what the load generator says of itself."""
