"""Time loops compiled by numba; only `lowbit.kernels.fused` imports them, where numba is at hand.

`forward` of each file fills the outputs (time batch hidden) and as many steps of the room as it has. `backward` turns
the recurrent products that the room keeps into the gradients to them, and the gates into the gradients to the input
products; `up` is the gradient to the outputs.
"""
