"""What runs beside a submission's code: the worker, its confinement, the zygote, the wire.

Imports nothing of ours outside itself; the sandbox may import what both sides must agree on.
"""
