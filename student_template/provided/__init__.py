"""Code given to you: data, training loop, multi-head wrapper, Vision Transformer, plots.

Read it, it is short. Don't change it: grading uses a fresh copy of this folder.
"""
