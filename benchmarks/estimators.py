"""Sizes of the 2D estimators, compared with published figures.

    python benchmarks/estimators.py

Parameters, and multiply-adds for an image of 192 x 256 pixels, counted on torch's meta device. A row for each published
figure. `parameters` and `multiply_adds` are of the whole network: convolutions, matrix products and attention, in units
of 10^6 and 10^9. Publications count by other conventions, named in `convention`; `parameters_counted` and
`multiply_adds_counted` are ours by that convention, and `ratio` is these / published:

- "authors": the code of Xiao et al. and Sun et al. counts convolutions alone, transposed ones on the cells of their
  output (four times too many), in units of 2^30. Its figures have one digit, some rounded and some truncated.
- "mmpose": MMPose's counter, in units of 10^9; it includes normalisation and the like, up to 1 %, which ours do
  not, and leaves out the three SR heads of SRPose that are only for training.
- "transformer": the transformer alone, without the head. 307 for the large one is the figure of Dosovitskiy et al.
  (2021).
- "layers": MMPose's counter on ViTPose's configurations, as noted in a public copy of its repository; it leaves
  out the products within attention, which are not layers.

Writes results/estimators.csv and prints it.
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import torch
import tyro
from results import write
from rich.console import Console
from rich.table import Table
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from occlupose.networks.estimators import ESTIMATORS, build
from occlupose.networks.srpose import SRPose
from occlupose.networks.vitpose import PATCH, VisionTransformer

RESULTS = Path(__file__).parent / "results"
COLUMNS = (
    *("model", "parameters_m", "multiply_adds_g", "source", "convention"),
    *("parameters_counted_m", "parameters_published_m", "parameters_ratio"),
    *("multiply_adds_counted_g", "multiply_adds_published_g", "multiply_adds_ratio"),
)
WIDTH = 192
HEIGHT = 256


class Published(NamedTuple):
    """A network's size as printed by its source; None if it is not."""

    model: str
    source: str
    convention: str
    parameters: float | None
    multiply_adds: float | None


PUBLISHED = (
    Published("simple_baseline_r50", "Sun et al. 2019, table 1", "authors", 34.0, 8.9),
    Published("simple_baseline_r50", "Wang et al. 2023, repository", "mmpose", 23.51 + 10.49, 5.46),
    Published("simple_baseline_r101", "Sun et al. 2019, table 1", "authors", 53.0, 12.4),
    Published("simple_baseline_r152", "Sun et al. 2019, table 1", "authors", 68.6, 15.7),
    Published("hrnet_w32", "Sun et al. 2019, table 1", "authors", 28.5, 7.1),
    Published("hrnet_w32", "Wang et al. 2023, repository", "mmpose", 28.54, 7.70),
    Published("hrnet_w48", "Sun et al. 2019, table 1", "authors", 63.6, 14.6),
    Published("vitpose_s", "MMPose's counter, as noted", "layers", 24.29, 5.26),
    Published("vitpose_b", "Xu et al. 2022", "transformer", 86, None),
    Published("vitpose_b", "MMPose's counter, as noted", "layers", 89.99, 17.85),
    Published("vitpose_l", "Xu et al. 2022", "transformer", 307, None),
    Published("vitpose_l", "MMPose's counter, as noted", "layers", 308.54, 59.78),
    Published("srpose_w32", "Wang et al. 2023, repository", "mmpose", 29.30 + 0.65, 8.28),
)


def main(results: Annotated[Path, tyro.conf.arg(metavar="FOLDER")] = RESULTS) -> None:
    """Counts, prints and writes.

    Args:
        results: folder of the table.
    """
    lines = rows()
    write(results / "estimators.csv", COLUMNS, lines, seed="none")
    table = Table(*COLUMNS)
    for line in lines:
        table.add_row(*map(str, line))
    Console(width=200).print(table)


def rows(models: Iterable[str] = ESTIMATORS) -> list[tuple[object, ...]]:
    """The rows of some models."""
    lines: list[tuple[object, ...]] = []
    for model in models:
        with torch.device("meta"):
            network = build(model).eval()
        work = multiply_adds(network)
        own = (model, f"{parameters(network) / 1e6:.2f}", f"{work['Global'] / 1e9:.2f}")
        figures = [each for each in PUBLISHED if each.model == model]
        for figure in figures:
            sizes = zip(
                CONVENTIONS[figure.convention](network, work), (figure.parameters, figure.multiply_adds), strict=True
            )
            lines.append((*own, figure.source, figure.convention, *(cell for pair in sizes for cell in beside(*pair))))
        if not figures:
            lines.append((*own, *[""] * 8))
    return lines


def beside(ours: float, published: float | None) -> tuple[str, str, str]:
    """Our figure, the published one, and ours / published."""
    return (f"{ours:.2f}", f"{published:g}", f"{ours / published:.3f}") if published else ("", "", "")


def authors(network: nn.Module, work: dict[str, float]) -> tuple[float, float]:
    """Parameters, and work as counted by the code of Xiao et al. and Sun et al."""
    transposed = {name: part for name, part in network.named_modules() if isinstance(part, nn.ConvTranspose2d)}
    extra = sum(
        work[f"{type(network).__name__}.{name}"] * (part.stride[0] * part.stride[1] - 1)
        for name, part in transposed.items()
    )
    return parameters(network) / 1e6, (work["Global"] + extra) / 2**30


def mmpose(network: nn.Module, work: dict[str, float]) -> tuple[float, float]:
    """Parameters and work of the parts that inference needs."""
    unneeded = list(network.head.maps[:-1]) if isinstance(network, SRPose) else []
    skipped = sum(work[f"SRPose.head.maps.{number}"] for number in range(len(unneeded)))
    return (parameters(network) - sum(map(parameters, unneeded))) / 1e6, (work["Global"] - skipped) / 1e9


def transformer(network: nn.Module, work: dict[str, float]) -> tuple[float, float]:
    """Parameters and work of the backbone."""
    return parameters(network.backbone) / 1e6, work["ViTPose.backbone"] / 1e9


def layers(network: nn.Module, work: dict[str, float]) -> tuple[float, float]:
    """Parameters, and work without the two products of attention: of every token with every other, in every block."""
    assert isinstance(network.backbone, VisionTransformer)
    tokens = HEIGHT * WIDTH // PATCH**2
    products = 2 * len(network.backbone.blocks) * tokens**2 * network.backbone.width
    return parameters(network) / 1e6, (work["Global"] - products) / 1e9


CONVENTIONS: dict[str, Callable[[nn.Module, dict[str, float]], tuple[float, float]]] = {
    each.__name__: each for each in (authors, mmpose, transformer, layers)
}


def parameters(network: Any) -> int:
    """Number of learnt parameters."""
    return sum(value.numel() for value in network.parameters())


def multiply_adds(network: nn.Module) -> dict[str, float]:
    """Of one image, in each module by torch's name for it, and in all of them as "Global"."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.empty(1, 3, HEIGHT, WIDTH, device="meta"))
    return {module: sum(work.values()) / 2 for module, work in counter.get_flop_counts().items()}


if __name__ == "__main__":
    tyro.cli(main, description=__doc__)
