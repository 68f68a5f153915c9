"""Packed networks on accelerators, and their records in `results/hardware`."""
