import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lowbit import datasets, quantizers
from lowbit.layers import cells
from lowbit.registry import InputError, Registry, canonical, parse

LITERALS = st.one_of(st.booleans(), st.integers(-9, 9), st.floats(-9, 9), st.sampled_from(["a", "b c"]))


@given(st.dictionaries(st.sampled_from(["p", "q", "r"]), LITERALS))
def test_a_choice_reads_back_as_it_is_written(options):
    written = f"name({', '.join(f'{k}={v!r}' for k, v in options.items())})"
    assert parse(written) == ("name", options)


DEEP = ["a(b=" + "(" * 500, "a(b=" + "-" * 100_000 + "1)", "a(b=" + "9" * 5000 + ")"]
STRANGE = ["a\0", "a(b=1, b=2)", "a(b={[]: 1})", "a(b=1if 2 else 3)", "red_apple(grams=150, grams=151)"]


@pytest.mark.parametrize(
    "text", ["", "a b", "a(1)", "a(b=c)", "__import__('os')", "a(b=", "a.b", "a(**{})", *DEEP, *STRANGE, None, 5]
)
def test_what_is_no_choice_is_refused(text):
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


def test_an_unknown_name_is_told_with_the_known_ones():
    with pytest.raises(InputError, match=r"no fruit 'pear'; known: red_apple"):
        fruits().build("pear")


def test_an_unknown_option_is_told_with_the_known_ones():
    with pytest.raises(InputError, match=r"fruit 'red_apple' has no option 'colour'; known: grams, price"):
        fruits().build("red_apple(colour=1)")


def test_an_option_of_another_type_is_refused():
    with pytest.raises(InputError, match=r"option 'grams' of fruit 'red_apple' takes int, not 'x'"):
        fruits().build("red_apple(grams='x')")


@pytest.mark.parametrize("price", ["1e999", "-1e999", str(10**400)])
def test_a_number_that_is_not_finite_is_refused(price):
    with pytest.raises(InputError, match="option 'price' of fruit 'red_apple' takes float, not"):
        fruits().build(f"red_apple(price={price})")


def test_a_name_stands_for_one_class():
    registry = fruits()

    class RedApple:
        pass

    RedApple.__module__ = "elsewhere"
    with pytest.raises(InputError, match="'red_apple' is in"):
        registry.register(RedApple)


@pytest.mark.parametrize("registry", [quantizers, cells, datasets])
def test_every_member_prints_as_its_spec(registry):
    for name in registry.names():
        assert registry.canonical(name) == name
        assert canonical(name, registry.build(name)) == name
