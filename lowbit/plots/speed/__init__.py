"""Figures and tables of benchmark records."""
