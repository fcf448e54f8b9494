"""Questions to a submission's code and the evidence that they give, without a judgement.

Mistakes and verdicts import it; it imports neither.
"""
