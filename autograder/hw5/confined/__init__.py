"""Runs confined: this homework's own questions to a submission's code.

Imports the general `confined` alone; the zygote of the workers loads it.
"""
