"""The sources of compiled time loops; only the process that compiles them imports these files.

`forward` of each file fills the outputs (time batch hidden) and as many steps of the workspace as it has. The product
with the first state is computed where that is `nonzero`. `backward` turns the recurrent products of the workspace into
the gradients to them, and the gates into the gradients to the input products; `d_out` is the gradient to the outputs,
and `d_state` holds the gradients to the last state, afterwards those to the first. The caller allocates all memory.
"""
