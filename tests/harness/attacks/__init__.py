"""Hostile and broken submissions, a module per family; each must hold what it says.

A probe tries something that must not work and, where it works all the same, raises
ESCAPED, which reaches the feedback. Every case is harmless where confinement fails.
"""
