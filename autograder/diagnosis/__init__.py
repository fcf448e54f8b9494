"""Which known mistake reproduces what a submission does.

A catalogue of mistakes, most of them small executable variants of the reference. On a
mismatch the student's own weights and inputs are run through each; the one that gives the
student's numbers names the mistake. See `catalogue.py` for all of them.
"""
