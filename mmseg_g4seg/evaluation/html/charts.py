"""Charts of a report's page, as SVG in the page's own colours; they stretch with it, since all places are per cent.

Figures stand beside the bars as text, so a bar itself is hidden from screen readers.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

MOST_BARS = 400
"""Of images; more would be thinner than a pixel."""
NAMED_BARS = 200
"""Up to so many, a bar shows its image's name under the pointer."""


@dataclass(frozen=True)
class Scale:
    """Gains from `low` to `high`, which 0 is among."""

    low: float
    high: float

    @classmethod
    def over(cls, values: Sequence[float]) -> 'Scale':
        """A scale that holds all values and ends a little beyond them."""
        low, high = min([0.0, *values]), max([0.0, *values])
        margin = 0.04 * (high - low) or 1.0
        return cls(low - margin * (low < 0 or high == 0), high + margin * (high > 0 or low == 0))

    def place(self, value: float) -> float:
        """Per cent of the way from low to high."""
        return 100 * (value - self.low) / (self.high - self.low)

    @property
    def ticks(self) -> list[float]:
        """Round numbers, 0 among them, at most six."""
        span = self.high - self.low
        step = 10 ** math.floor(math.log10(span / 2))
        step = next(step * factor for factor in (1, 2, 5, 10) if span / (step * factor) <= 5)
        return [i * step for i in range(math.ceil(self.low / step), math.floor(self.high / step) + 1)]


def signed(value: float, digits: int = 2) -> str:
    """+1.50, −0.30; zero has no sign."""
    text = f'{value:+.{digits}f}'
    if not float(text):
        return text[1:]
    return text.replace('-', '\N{MINUS SIGN}')


def axis(scale: Scale) -> Markup:
    """The numbers above a column of bars."""
    digits = 0 if all(float(tick).is_integer() for tick in scale.ticks) else 1 if scale.high - scale.low > 0.3 else 2
    labels = ''.join(
        f'<text x="{scale.place(tick):.2f}%" y="11" text-anchor="middle">{signed(tick, digits)}</text>'
        for tick in scale.ticks
        if 6 < scale.place(tick) < 94  # cut off at the ends
    )
    return Markup(f'<svg class="axis" aria-hidden="true" height="14">{labels}</svg>')


def bar(gain: float | None, interval: Sequence[float | None], scale: Scale) -> Markup:
    """A bar from 0 to a gain, with the interval as whiskers; paler where the interval holds 0."""
    lines = ''.join(
        f'<line class="{"zero" if not tick else "grid"}" x1="{scale.place(tick):.2f}%" x2="{scale.place(tick):.2f}%" '
        'y1="0" y2="100%"/>'
        for tick in scale.ticks
    )
    if gain is None:
        return Markup(f'<svg class="bar" aria-hidden="true">{lines}</svg>')
    left, right = sorted((scale.place(0), scale.place(gain)))
    bounds = [bound for bound in interval if bound is not None]
    unsure = len(bounds) == 2 and bounds[0] <= 0 <= bounds[1]
    kind = f'{"better" if gain >= 0 else "worse"}{" unsure" if unsure else ""}'
    lines += f'<rect class="{kind}" x="{left:.2f}%" width="{right - left:.2f}%" y="25%" height="50%" rx="1.5"/>'
    if len(bounds) == 2:
        low, high = (scale.place(bound) for bound in bounds)
        # the halo keeps the whisker apart from its own bar
        for css in ('halo', 'whisker'):
            lines += f'<line class="{css}" x1="{low:.2f}%" x2="{high:.2f}%" y1="50%" y2="50%"/>'
        for end in (low, high):
            lines += f'<line class="whisker" x1="{end:.2f}%" x2="{end:.2f}%" y1="36%" y2="64%"/>'
    return Markup(f'<svg class="bar" aria-hidden="true">{lines}</svg>')


def image_bars(images: Sequence[tuple[str, float]]) -> Markup:
    """One upright bar an image, the largest gain first.

    Args:
        images: name and gain of each, in that order.
    """
    count = min(len(images), MOST_BARS)
    shown = [images[i * len(images) // count] for i in range(count)]
    scale = Scale.over([gain for _, gain in shown])
    width, gap = 100 / count, 0.18 if count <= NAMED_BARS else 0.0
    parts = []
    for tick in scale.ticks:
        y = 100 - scale.place(tick)
        parts.append(f'<line class="{"zero" if not tick else "grid"}" x1="0" x2="100%" y1="{y:.2f}%" y2="{y:.2f}%"/>')
        label = signed(tick, 0 if float(tick).is_integer() else 1)
        parts.append(f'<text x="-8" y="{y:.2f}%" dy="4" text-anchor="end">{label}</text>')
    for i, (name, gain) in enumerate(shown):
        top, bottom = sorted((100 - scale.place(0), 100 - scale.place(gain)))
        title = f'<title>{escape(name)}: {signed(gain)}</title>' if len(images) <= NAMED_BARS else ''
        parts.append(
            f'<rect class="{"better" if gain >= 0 else "worse"}" x="{(i + gap / 2) * width:.3f}%" '
            f'width="{(1 - gap) * width:.3f}%" y="{top:.2f}%" height="{max(bottom - top, 0.3):.2f}%">{title}</rect>'
        )
    return Markup(f'<svg class="images" aria-hidden="true">{"".join(parts)}</svg>')
