"""Names for the classes of one package, and the one way to write a choice: `name` or `name(option=value)`."""

import ast
import dataclasses
import importlib.util
import math
import pkgutil
import re
import warnings
from collections.abc import Callable

KINDS = {int: "a whole number", float: "a finite number", bool: "True or False", str: "a word in quotes"}
SEEDS = (0, 2**32 - 1)  # the least and the largest


class InputError(ValueError):
    """An input that cannot be used; its message is one line that names the thing and the choices.

    >>> import lowbit
    >>> lowbit.RunSpec(cell="lsmt")
    Traceback (most recent call last):
        ...
    lowbit.registry.InputError: no cell 'lsmt'; known: gru, lstm, min_gru, min_lstm, mlgru, rnn
    """


def lazy(package: str, **names: str) -> Callable[[str], object]:
    """The `__getattr__` of a package: loads its modules at first use, and the names that it offers from each.

    >>> lazy("json", decoder="JSONDecoder JSONDecodeError")("JSONDecoder")
    <class 'json.decoder.JSONDecoder'>
    """
    homes = {name: module for module, listed in names.items() for name in listed.split()}

    def load(name: str) -> object:
        path = f"{package}.{homes.get(name, name)}"
        if importlib.util.find_spec(path) is None:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module = importlib.import_module(path)
        return getattr(module, name) if name in homes else module

    return load


class Registry:
    """Classes by their names; every module of `package`, where there is one, registers its own.

    >>> fruits = Registry("fruit")
    >>> @fruits.register
    ... @dataclasses.dataclass(frozen=True)
    ... class Apple:
    ...     grams: int = 150
    >>> fruits.build("apple(grams=120)")
    Apple(grams=120)
    >>> fruits.canonical("apple( grams = 150 )")
    'apple'
    >>> fruits.build("pear")
    Traceback (most recent call last):
        ...
    lowbit.registry.InputError: no fruit 'pear'; known: apple
    """

    def __init__(self, kind: str, package: str | None = None):
        self.kind = kind
        self.package = package
        self._classes: dict[str, type] = {}

    def register(self, cls: type) -> type:
        """Enters `cls` under its own name in small letters: `MnistSeq` becomes `mnist_seq`."""
        return self.register_as(re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", cls.__name__).lower())(cls)

    def register_as(self, name: str) -> Callable[[type], type]:
        """Enters a class under a name that Python reserves, as `none`."""

        def enter(cls: type) -> type:
            other = self._classes.setdefault(name, cls)
            if other.__module__ != cls.__module__:
                raise InputError(f"{self.kind} {name!r} is in {other.__module__} and {cls.__module__}")
            self._classes[name] = cls
            return cls

        return enter

    def names(self) -> list[str]:
        """All registered names, in alphabetical order."""
        if self.package is not None:
            package = importlib.import_module(self.package)
            for module in pkgutil.iter_modules(package.__path__):
                importlib.import_module(f"{self.package}.{module.name}")
        return sorted(self._classes)

    def __getitem__(self, name: str) -> type:
        if name not in self._classes and name not in self.names():
            raise InputError(f"no {self.kind} {name!r}; known: {', '.join(self.names())}")
        return self._classes[name]

    def build(self, choice: str):
        """The object that `choice` describes, as in `uniform(bits=2)`; raises `InputError`."""
        name, options = parse(choice, self.kind)
        cls = self[name]
        defaults = {field.name: field.default for field in dataclasses.fields(cls) if field.init}
        return cls(**checked(options, defaults, f"{self.kind} {name!r}", "option"))

    def canonical(self, choice: str) -> str:
        """`choice` with only the options that differ from their defaults, in the order of the fields."""
        return canonical(parse(choice, self.kind)[0], self.build(choice))


def parse(choice: str, kind: str = "choice") -> tuple[str, dict]:
    """Name and options of a choice; raises `InputError` on anything but literals.

    >>> parse("uniform(bits=2)")
    ('uniform', {'bits': 2})
    """
    try:
        if choice.isascii() and choice.isidentifier():
            return choice, {}
        with warnings.catch_warnings(action="ignore"):  # of literals that Python has doubts about
            node = ast.parse(choice.strip(), mode="eval").body
        if isinstance(node, ast.Name):
            return node.id, {}
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.args:
            options = {word.arg: ast.literal_eval(word.value) for word in node.keywords}
            if len(options) == len(node.keywords) and None not in options:
                return node.func.id, options
    except (AttributeError, SyntaxError, ValueError, TypeError, MemoryError, RecursionError):
        pass
    form = "name or name(option=value), with values as 2, 0.5, True or 'word'"
    raise InputError(f"cannot read {kind} {choice!r}; write it as {form}")


def checked(options: dict, defaults: dict, owner: str, kind: str) -> dict:
    """`options` if each is known, finite and of its default's type, whole numbers becoming real ones where due.

    >>> checked({"rate": 1}, {"rate": 0.5}, "recipe", "field")
    {'rate': 1.0}
    """
    converted = {}
    for name, value in options.items():
        if name not in defaults:
            raise InputError(f"{owner} has no {kind} {name!r}; known: {', '.join(defaults) or 'none'}")
        expected = type(defaults[name])
        if expected is float and type(value) is int and abs(value) < 1 << 53:
            value = float(value)
        if type(value) is not expected or (expected is float and not math.isfinite(value)):
            raise InputError(f"{kind} {name!r} of {owner} takes {KINDS[expected]}, not {value!r}")
        converted[name] = value
    return converted


def bounded(settings, owner: str, **ranges: tuple[float, float]) -> None:
    """Raises `InputError` unless each field named is within its range, both ends included.

    >>> bounded(3 + 4j, "a number", imag=(0, 1))
    Traceback (most recent call last):
        ...
    lowbit.registry.InputError: a number takes 0 to 1 for imag, not 4.0
    """
    for field, (least, most) in ranges.items():
        value = getattr(settings, field)
        if not least <= value <= most:
            raise InputError(f"{owner} takes {least:,} to {most:,} for {field}, not {value!r}")


def canonical(name: str, settings) -> str:
    """`name(option=value)` with the fields of the dataclass `settings` that are not at their defaults."""
    fields = [(field, getattr(settings, field.name)) for field in dataclasses.fields(settings) if field.init]
    return written(name, {field.name: value for field, value in fields if value != field.default})


def written(name: str, options: dict) -> str:
    """A choice as `parse` reads it.

    >>> written("uniform", {"bits": 2}), written("binary", {})
    ('uniform(bits=2)', 'binary')
    """
    return f"{name}({', '.join(f'{key}={value!r}' for key, value in options.items())})" if options else name
