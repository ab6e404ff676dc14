"""How well a prior's cross-attention says where a class is: IoU with labels, by level of the denoiser and by class.

Shapes: h' w' token grid of a level, H W image size, T text tokens.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from mmseg_g4seg.diffusion.injection.attention_maps import AttentionMaps, recorded_attention
from mmseg_g4seg.diffusion.prior import DiffusionPrior
from mmseg_g4seg.ops.masks import labelled_pixels, resize_maps
from mmseg_g4seg.ops.noise import image_noise
from mmseg_g4seg.ops.seeded_growth import min_max, otsu_seeds

THRESHOLDS = tuple(i / 20 for i in range(1, 20))
LEAST_SHOWN = 0.005
"""Share of the image that a class covers to be asked about."""

Case = tuple[str, int]
"""Name of a map (`level 2`, `mean`), and the class that it is of."""


@dataclass
class Tally:
    """Areas of one class in one kind of map, summed over images.

    Attributes:
        best: (3, thresholds) int64: intersection, predicted and labelled pixels at each of `THRESHOLDS`.
        otsu: (3,) likewise at Otsu's threshold of each map.
        ranks: of each image, the share of pixel pairs, one of the class and one not, that the map puts in order.
    """

    best: Tensor = field(default_factory=lambda: torch.zeros(3, len(THRESHOLDS), dtype=torch.int64))
    otsu: Tensor = field(default_factory=lambda: torch.zeros(3, dtype=torch.int64))
    ranks: list[float] = field(default_factory=list)

    def add(self, probs: Tensor, shown: Tensor) -> None:
        """Adds a map in [0, 1] and where the class is, bool: of any shape, pixels without a label left out."""
        self.best += torch.stack([areas(probs > t, shown) for t in THRESHOLDS], dim=1)
        self.otsu += areas(otsu_seeds(probs), shown)
        self.ranks.append(rank_share(probs, shown))


def areas(predicted: Tensor, shown: Tensor) -> Tensor:
    """Intersection, predicted and labelled pixels: (H, W) bool twice -> (3,) int64."""
    return torch.stack([(predicted & shown).sum(), predicted.sum(), shown.sum()])


def rank_share(probs: Tensor, shown: Tensor) -> float:
    """Area under the ROC curve: (H, W) float with (H, W) bool -> [0, 1]; 0.5 says nothing. Ties count half."""
    values, counts = probs.flatten().unique(return_inverse=True)
    inside = torch.bincount(counts[shown.flatten()], minlength=len(values)).double()
    outside = torch.bincount(counts[~shown.flatten()], minlength=len(values)).double()
    below = outside.cumsum(0) - outside
    return float((inside * (below + outside / 2)).sum() / (inside.sum() * outside.sum()))


@torch.no_grad()
def measure_image(
    prior: DiffusionPrior,
    image: Tensor,
    label_map: Tensor,
    names: Sequence[str],
    *,
    timesteps: Sequence[int],
    key: str,
    tallies: dict[Case, Tally],
) -> None:
    """Adds an image to the tallies: one prompt a class that it shows, heads, layers of a level and tokens averaged.

    Args:
        prior: a U-Net.
        image: (3, H, W) float RGB in [0, 1], of a size that the prior takes.
        label_map: (H, W) int64; what is no class has no label.
        names: of the classes; the one called `background` is asked about by no prompt.
        timesteps: of the noise, a pass each.
        key: of the noise.
        tallies: to add to.
    """
    labelled = labelled_pixels(label_map, len(names))
    counts = torch.bincount(label_map[labelled], minlength=len(names))
    shown = (counts >= LEAST_SHOWN * label_map.numel()) & (counts < labelled.sum())
    present = [c for c in torch.where(shown)[0].tolist() if names[c] != 'background']
    latents = prior.encode_images(image[None])
    noise = image_noise(latents.shape[1:], seed=0, key=key).to(latents)
    cross = [layer for layer in prior.attention_layers if layer.reads_text]
    prompts = prior.encode_prompts([[names[c]] for c in present], 'a photo of {name}')
    with recorded_attention(AttentionMaps(latents.shape[-2:], cross_layers=cross)) as maps:
        for timestep in timesteps:
            noisy = prior.add_noise(latents, noise, timestep).expand(len(present), -1, -1, -1)
            prior.denoise(noisy, timestep, prompts)
    for i, c in enumerate(present):
        tokens = prompts.token_masks[i, 0].nonzero()[:, 0]
        found = {
            f'level {level}': maps.cross(level, i)[:, tokens].mean(dim=(0, 1))
            for level in sorted({layer.level for layer in cross})
        }
        whole = {name: min_max(resize_maps(m, label_map.shape)) for name, m in found.items()}
        whole['mean'] = min_max(torch.stack(list(whole.values())).mean(dim=0))
        for name, probs in whole.items():
            tallies.setdefault((name, c), Tally()).add(probs[labelled], label_map[labelled] == c)


def summarise(tallies: dict[Case, Tally], names: Sequence[str]) -> dict[str, dict[str, dict[str, float]]]:
    """By map and class, and `all`: the mean over classes; IoU in per cent, `auc` in [0, 1].

    `best` is at the one threshold that is best for all classes together.
    """
    report: dict[str, dict[str, dict[str, float]]] = {}
    for kind in dict.fromkeys(kind for kind, _ in tallies):
        own = {names[c]: tally for (k, c), tally in sorted(tallies.items()) if k == kind}
        curves = torch.stack([iou(tally.best) for tally in own.values()])  # (classes, thresholds)
        best = int(curves.mean(dim=0).argmax())
        rows = {
            name: {
                'best': 100 * float(iou(tally.best)[best]),
                'otsu': 100 * float(iou(tally.otsu)),
                'auc': sum(tally.ranks) / len(tally.ranks),
            }
            for name, tally in own.items()
        }
        figures = ('best', 'otsu', 'auc')
        report[kind] = {**rows, 'all': {f: sum(row[f] for row in rows.values()) / len(rows) for f in figures}}
        report[kind]['all']['threshold'] = THRESHOLDS[best]
    return report


def table(report: dict[str, dict[str, dict[str, float]]]) -> list[str]:
    """A Markdown table of `summarise`'s report: classes, and their mean; IoU best, Otsu's, and the area."""
    names = list(next(iter(report.values())))
    lines = [f'| class | {" | ".join(report)} |', '|---' * (1 + len(report)) + '|']
    for name in names:
        cells = [
            f'{row["best"]:.1f}, {row["otsu"]:.1f}, {row["auc"]:.2f}' for row in (k[name] for k in report.values())
        ]
        lines.append(f'| {name} | {" | ".join(cells)} |')
    return lines


def iou(counts: Tensor) -> Tensor:
    """(3, ...) areas -> (...) IoU in [0, 1]."""
    intersection, predicted, labelled = counts.double()
    return intersection / (predicted + labelled - intersection)
