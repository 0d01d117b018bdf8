"""Training recipes of the network for hidden joints. All ours, but for the papers' parts, which can be left out."""

from dataclasses import dataclass, field, replace

from occlupose.bounds import Bounded, Count, NonNegative, Seed
from occlupose.methods.ljof.recipe import StructureTerm
from occlupose.methods.ljof.schedules import Step
from occlupose.methods.movenet.occluders import OccluderSettings
from occlupose.methods.movenet.samples import SampleSettings
from occlupose.training.loop import Optimisation

NO_OCCLUDERS = OccluderSettings(blocks=None, objects=0.0, cutouts=0.0, lower_body=0.0, truncation=0.0)
"""Nothing in front of anybody."""


@dataclass(frozen=True)
class MoveNetRecipe(Bounded):
    """Configuration of a training run.

    Attributes:
        samples: what crops are drawn.
        dark: heatmaps are dark at hidden joints (OANet eq. 1).
        structure: LJOF's structure loss on the heatmaps (eq. 4 to 6), or None.
        offset_weight, place_weight, visible_weight: weight of the terms in the loss.
        heads_rate, pyramid_rate, backbone_rate: learning rate of these parts, as a factor of that of the branch of
            places, which is new.
        scenes: number of synthetic scenes.
        batch: number of crops.
        optimisation: length and learning rate.

    Raises:
        OccluposeError: a value is out of range.
    """

    name: str = "movenet_occlusion"
    samples: SampleSettings = field(default_factory=SampleSettings)
    dark: bool = True
    structure: StructureTerm | None = field(default_factory=lambda: StructureTerm(schedule=Step(at=0.5, weight=0.1)))
    offset_weight: NonNegative = 0.5
    place_weight: NonNegative = 0.4
    visible_weight: NonNegative = 1.0
    heads_rate: NonNegative = 0.2
    pyramid_rate: NonNegative = 0.07
    backbone_rate: NonNegative = 0.05
    scenes: Count = 3000
    batch: Count = 16
    optimisation: Optimisation = field(
        default_factory=lambda: Optimisation(
            steps=7500, learning_rate=1e-3, weight_decay=1e-4, warm_up_steps=200, max_grad_norm=5.0
        )
    )
    seed: Seed = 0


SHIPPED = MoveNetRecipe()

RECIPES = {
    "shipped": SHIPPED,
    "continued": replace(
        SHIPPED,
        structure=StructureTerm(schedule=Step(at=0.0, weight=0.1)),
        optimisation=replace(SHIPPED.optimisation, steps=2500, learning_rate=7e-4),
        seed=1,
    ),
    "without-papers": replace(
        SHIPPED, samples=replace(SampleSettings(), occluders=NO_OCCLUDERS), dark=False, structure=None
    ),
}
"""Recipes by name. `continued` trains the network of `shipped` further (`--init-from`). `without-papers` is `shipped`
without blocks, occluders, dark heatmaps and structure loss.
"""
