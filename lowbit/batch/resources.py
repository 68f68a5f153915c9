"""The resources of a page by budget, from `resources.toml`: known amounts, and further entries for Snakemake."""

import keyword
import math
import tomllib
from typing import Annotated

import msgspec
from msgspec import Meta

from lowbit import paths
from lowbit.registry import InputError


class Amounts(msgspec.Struct):
    """The known entries with their defaults."""

    minutes: Annotated[float, Meta(ge=0.01, le=10**6)] = 60
    memory_mb: Annotated[int, Meta(ge=1, le=10**9)] = 2000
    gpus: Annotated[int, Meta(ge=0, le=1024)] = 0
    threads: Annotated[int, Meta(ge=1, le=1024)] = 1


# Further entries, without those that Snakemake gets from the amounts.
Further = dict[
    Annotated[str, Meta(pattern=r"^(?!(?:mem|mem_mb|mem_mib|runtime|cpus_per_task)$)[a-z][a-z0-9_]*$")], str | int
]


def resources(budget: str) -> dict:
    """The resources of a page of a budget; raises `InputError` where `resources.toml` lacks or misstates them."""
    file = paths.resources()
    try:
        tables = tomllib.loads(file.read_text())
        if not isinstance(tables.get(budget), dict):
            budgets = ", ".join(name for name, table in tables.items() if isinstance(table, dict))
            raise InputError(f"{file} has no budget {budget!r}; known: {budgets}")
        amounts = msgspec.to_builtins(msgspec.convert(tables[budget], Amounts))
        further = {name: value for name, value in tables[budget].items() if name not in amounts}
        msgspec.convert(further, Further)
    except InputError:
        raise
    except (OSError, ValueError, RecursionError, msgspec.MsgspecError) as error:
        raise InputError(f"{file}, {budget}: {error}") from error
    if math.isnan(amounts["minutes"]) or any(map(keyword.iskeyword, further)):
        raise InputError(f"{file}: {budget} cannot have {tables[budget]!r}")
    return amounts | further


def arguments(budget: str) -> str:
    """The resources of a budget as Snakemake's keyword arguments."""
    amounts = resources(budget)
    words = {"mem_mb": amounts.pop("memory_mb"), "runtime": math.ceil(amounts.pop("minutes")) + 5}  # ours ends first
    gpus, _ = amounts.pop("gpus"), amounts.pop("threads")
    words |= ({"gres": f"gpu:{gpus}"} if gpus else {}) | amounts
    return ", ".join(f"{name}={value!r}" for name, value in words.items())
