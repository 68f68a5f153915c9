"""Time loops compiled by numba; only `lowbit.kernels.fused` imports them, where numba is at hand."""
