"""Compiled time loops and the autograd function that calls them; the sources of the loops are in `native`."""
