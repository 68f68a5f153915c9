"""The pages of the book: the plan of a batch, its execution and its state."""
