"""The exercises of the course: one file for each, with its task and the cases that a learner sees.

What the learner opens is in notebooks/exercises/. It is generated (release.py) from
notebooks/solutions/, which hold the solution too, and further cases for grading.
"""
