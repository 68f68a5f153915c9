"""Bach's chorales as piano rolls."""

import dataclasses
from typing import ClassVar

from lowbit import datasets
from lowbit.datasets.download import File
from lowbit.datasets.music import Music, rolls
from lowbit.datasets.recipe import CPU, SMOKE, Recipe


@datasets.register
@dataclasses.dataclass(frozen=True)
class Jsb(Music):
    """382 four-part chorales of J. S. Bach (allan2005harmonising), a frame a quarter note, in the splits of
    boulanger2012modeling.

    Neither ardakani2019learning nor ott2016recurrent uses music. The set is small: networks overfit it.
    """

    title: ClassVar[str] = "JSB chorales"
    reference: ClassVar[str] = "boulanger2012modeling"
    licence: ClassVar[str] = "none stated by those who made it; old music, whose transcription may carry rights"
    files: ClassVar[tuple[File, ...]] = (
        rolls("JSB_Chorales.mat", "ac0e608527cc411c7e21ef7d38be47f0de7fb6b13b3ae168b8eccf1c2a9b18d4", 96_095),
    )
    counts: ClassVar[dict[str, int]] = {"train": 229, "valid": 76, "test": 77, "outputs": 88}
    recipes: ClassVar[dict[str, Recipe]] = {
        "smoke": dataclasses.replace(SMOKE, valid_limit=16, test_limit=16),
        "cpu": dataclasses.replace(CPU, updates=800, steps=60, evaluate_every=50),
    }
