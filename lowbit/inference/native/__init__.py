"""Functions that numba compiles for packed models; only `emit` imports them, and only where the cache lacks one."""
