"""This homework: what is asked of a submission (probes), known mistakes, verdicts, settings.

The suites, grade.py and staff import it; no general room does.
"""
