"""Pages brought up to date: what a batch would do, what executes it, what became of it."""
