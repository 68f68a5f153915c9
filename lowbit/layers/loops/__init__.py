"""Time loops that numba compiled, for those who hand them arrays; the sources of the loops are in `native`."""
