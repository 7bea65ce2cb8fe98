"""Measurements side by side: the same bytes, in one run, as ratios."""
