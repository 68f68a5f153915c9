"""Figures and tables of engines; those of a page are narrow enough for a phone."""
