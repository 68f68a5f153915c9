"""Reads docstrings as the book is written: code between single backticks, mathematics between dollars."""

import re

MATH = re.compile(r"\$([^$]+)\$")


def convert(app, what, name, obj, options, lines):
    """Writes the mathematics of a docstring as reStructuredText has it."""
    lines[:] = MATH.sub(r":math:`\1`", "\n".join(lines)).splitlines()


def setup(app):
    """Connects this to autodoc."""
    app.setup_extension("sphinx.ext.autosummary")
    app.connect("autodoc-process-docstring", convert)
    return {"parallel_read_safe": True}
