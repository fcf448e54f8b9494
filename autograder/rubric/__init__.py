"""Rubric lines, the feedback on them, and results.json: the same for any homework.

The homework's verdicts and grade.py import it; it never imports the homework.
"""
