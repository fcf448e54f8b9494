"""Layer lists, how they are trained to a verdict, and verdicts carried over.

The homework's examination and staff import it; it never imports the homework.
"""
