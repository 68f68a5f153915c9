"""A whole time loop as one function of autograd."""
