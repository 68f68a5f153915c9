"""The figures and tables of the book."""
