"""One checker for each kind of promise that is judged in its own way: from what was promised and seen to a claim.

`judge.claim_of` chooses among them, and is the only place that does.
"""
