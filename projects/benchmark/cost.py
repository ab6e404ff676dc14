"""Computes what refining a number of images takes and costs, by setup.

    python -m projects.benchmark.cost --images-per-second 2 --price 3 --spot-price 1.2

    hours = images / (3600 x images a second of one GPU x GPUs x efficiency) x (1 + interruptions x lost / 3600)
    cost  = hours x GPUs x price of a GPU an hour

Every number is an input: this project has measured no GPU and knows no prices. `python -m projects.benchmark` measures
your images a second, `python -m projects.benchmark.scaling` your efficiency. An interruption loses the images under way
and the start of a new node, `--lost` seconds of that GPU.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass

IMAGES = (1_449, 10_582, 118_287, 10**6, 10**7, 10**8)
"""VOC 2012's validation set, its augmented training set, COCO's training set, and powers of ten."""


@dataclass(frozen=True)
class Setup:
    """Where a run takes place.

    Attributes:
        name: of it.
        gpus: that work.
        efficiency: images a second of all, over so many times those of one alone.
        price: of a GPU an hour.
        interruptions: of a GPU an hour.
        lost: seconds of a GPU that an interruption costs.
    """

    name: str
    gpus: int
    efficiency: float
    price: float
    interruptions: float = 0.0
    lost: float = 0.0

    def __post_init__(self) -> None:
        for name in ('gpus', 'efficiency', 'price'):
            if not getattr(self, name) > 0:
                raise ValueError(f'{self.name}: {name}: expected a number above 0, got {getattr(self, name)}')
        if self.interruptions < 0 or self.lost < 0:
            raise ValueError(f'{self.name}: expected interruptions and lost seconds of at least 0')

    def hours(self, images: int, images_per_second: float) -> float:
        """How long a number of images takes, given what one GPU does alone."""
        rate = images_per_second * self.gpus * self.efficiency
        return images / rate / 3600 * (1 + self.interruptions * self.lost / 3600)

    def cost(self, images: int, images_per_second: float) -> float:
        """What they cost, in the price's currency."""
        return self.hours(images, images_per_second) * self.gpus * self.price


def setups(args: argparse.Namespace) -> list[Setup]:
    """The guide's: one GPU, a machine, Slurm, a Ray cluster, and the same on spot nodes."""
    many = args.machines * args.gpus
    return [
        Setup('one GPU', 1, 1.0, args.price),
        Setup(f'one machine, {args.gpus} GPUs, torchrun', args.gpus, args.torchrun, args.price),
        Setup(f'Slurm, {args.machines} x {args.gpus} GPUs, torchrun', many, args.torchrun, args.price),
        Setup(f'Ray, {args.machines} x {args.gpus} GPUs', many, args.ray, args.price),
        Setup(
            f'Ray, {args.machines} x {args.gpus} spot GPUs',
            many,
            args.ray,
            args.spot_price,
            args.interruptions,
            args.lost,
        ),
    ]


def table(rows: Sequence[Setup], images_per_second: float) -> str:
    """A row a setup, a column a number of images: hours and cost, in Markdown."""
    head = ['setup', *(f'{images:,} images' for images in IMAGES)]
    lines = [head, ['---'] * len(head)]
    for setup in rows:
        figures = ((setup.hours(n, images_per_second), setup.cost(n, images_per_second)) for n in IMAGES)
        lines.append([setup.name, *(f'{_short(hours)} h, {_short(cost)}' for hours, cost in figures)])
    return '\n'.join(f'| {" | ".join(line)} |' for line in lines)


def _short(value: float) -> str:
    return f'{value:,.0f}' if value >= 100 else f'{value:.3g}'


def parse_args(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--images-per-second', type=float, required=True, help='of one GPU alone')
    parser.add_argument('--price', type=float, required=True, help='of a GPU an hour')
    parser.add_argument('--spot-price', type=float, help='of a spot GPU an hour; default: the same')
    parser.add_argument('--gpus', type=int, default=8, help='of a machine')
    parser.add_argument('--machines', type=int, default=4)
    parser.add_argument('--torchrun', type=float, default=0.99, help='efficiency of torchrun')
    parser.add_argument('--ray', type=float, default=0.95, help='efficiency of Ray')
    parser.add_argument('--interruptions', type=float, default=0.05, help='of a spot GPU an hour')
    parser.add_argument('--lost', type=float, default=300.0, help='seconds of a GPU that an interruption costs')
    args = parser.parse_args(arguments)
    if not args.images_per_second > 0:
        parser.error(f'--images-per-second: expected a number above 0, got {args.images_per_second}')
    args.spot_price = args.price if args.spot_price is None else args.spot_price
    return args


def main(arguments: Sequence[str] | None = None) -> None:
    args = parse_args(arguments)
    try:
        print(table(setups(args), args.images_per_second))
    except ValueError as error:
        raise SystemExit(f'error: {error}') from error


if __name__ == '__main__':
    main()
