"""The engine as hardware: the registers of lowbit.hardware.datapath written in Amaranth, from which Verilog comes.

Needs the extra `[rtl]`; `need` says so where it is absent.
"""

import importlib.util

from lowbit.registry import InputError


def need(package: str) -> None:
    """Raises `InputError` with the words that install `package` where it is absent."""
    if importlib.util.find_spec(package) is None:
        raise InputError(f"this needs {package}; install it with: pip install 'lowbit[rtl]'")
