"""Cells, norms and the recurrent layer; networks of layers; kernels that run the loop over time."""
