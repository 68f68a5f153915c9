"""Packed networks on machines: what was found on real text is kept in `results/hardware`, so that pages need none."""
