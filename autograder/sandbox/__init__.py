"""The trusted side of the process boundary: starts workers, asks questions, believes nothing.

Probes and grade.py import it. It starts `confined`, and never imports student code.
"""
