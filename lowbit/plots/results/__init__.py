"""Figures and tables of the records of runs."""
