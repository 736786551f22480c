"""One file for each invariant: from what was seen to the first counterexample, if there is one."""
