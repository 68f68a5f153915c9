"""What numba compiles for packed models; only `emit` imports these files, and only where no machine code is kept."""
