"""WHAT WE WANT: the system, its scenarios, their load, faults and objectives, as frozen values."""
