"""Everything that becomes a figure or a table of the book."""
