"""From evidence to verdict, a module for each kind of evidence.

The suites import it; it imports mistakes and probes.
"""
