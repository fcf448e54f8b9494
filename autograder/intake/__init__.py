"""From a submission as people make it (folder, zip, notebook) to a clean staged copy.

Imports nothing of the grader but the homework's declaration; grade.py and staff import it.
"""
