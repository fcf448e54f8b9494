"""Which known mistake reproduces what a submission does; see `catalogue` for all of them.

On a mismatch the student's own weights and inputs are run through each variant of the
reference; the one that gives the student's numbers names the mistake. Verdicts import it.
"""
