"""Specs of runs, their records, studies as lists of runs, and comparisons between runs."""
