"""What numba compiles for time loops; only its compiler imports these files, where no machine code is kept.

`forward` of each file fills the outputs (time batch hidden) and as many steps of the room as it has. `backward` turns
the recurrent products that the room keeps into the gradients to them, and the gates into the gradients to the input
products; `up` is the gradient to the outputs. All memory is the caller's.
"""
