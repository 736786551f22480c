"""Allure: what an experiment says in its words, what stands around the results, and its own HTML."""
