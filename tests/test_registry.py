import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lowbit import datasets, quantizers
from lowbit.layers import cells
from lowbit.registry import InputError, Registry, canonical, parse, written

LITERALS = st.one_of(st.booleans(), st.integers(-9, 9), st.floats(-9, 9), st.sampled_from(["a", "b c"]))


@given(st.dictionaries(st.sampled_from(["p", "q", "r"]), LITERALS))
def test_a_choice_reads_back_as_it_is_written(options):
    assert parse(written("name", options)) == ("name", options)


DEEP = ["a(b=" + "(" * 500, "a(b=" + "-" * 100_000 + "1)", "a(b=" + "9" * 5000 + ")"]
STRANGE = ["a\0", "a(b=1, b=2)", "a(b={[]: 1})", "a(b=1if 2 else 3)", "red_apple(grams=150, grams=151)"]


@pytest.mark.parametrize(
    "text", ["", "a b", "a(1)", "a(b=c)", "__import__('os')", "a(b=", "a.b", "a(**{})", *DEEP, *STRANGE, None, 5]
)
def test_text_that_is_no_choice_is_refused(text):
    with pytest.raises(InputError, match="cannot read fruit|no fruit|option"):
        fruits().build(text)


def fruits():
    registry = Registry("fruit")

    @registry.register
    @dataclasses.dataclass(frozen=True)
    class RedApple:
        grams: int = 150
        price: float = 1.0

    return registry


def test_names_follow_from_class_names():
    assert fruits().names() == ["red_apple"]


NUMBER = "option 'price' of fruit 'red_apple' takes a finite number, not"


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ("pear", "no fruit 'pear'; known: red_apple"),
        ("red_apple(colour=1)", "fruit 'red_apple' has no option 'colour'; known: grams, price"),
        ("red_apple(grams='x')", "option 'grams' of fruit 'red_apple' takes a whole number, not 'x'"),
        *((f"red_apple(price={price})", NUMBER) for price in ("1e999", "-1e999", str(10**400))),
    ],
)
def test_a_wrong_choice_is_refused_with_the_valid_ones(choice, message):
    with pytest.raises(InputError, match=message):
        fruits().build(choice)


def test_a_name_belongs_to_one_class():
    registry = fruits()

    class RedApple:
        pass

    RedApple.__module__ = "other"
    with pytest.raises(InputError, match="'red_apple' is in"):
        registry.register(RedApple)


@pytest.mark.parametrize("registry", [quantizers, cells, datasets])
def test_every_member_prints_as_its_spec(registry):
    for name in registry.names():
        assert registry.canonical(name) == name
        assert canonical(name, registry.build(name)) == name
