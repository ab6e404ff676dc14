"""Asks the likelihood update's questions timestep by timestep: every candidate once, then each place's leaders alone.

Shapes: N candidates, M layouts, h w latent grid.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from mmseg_g4seg.ops.racing import keep_leaders, pack_parts, read_answers, update_means
from mmseg_g4seg.registry import expect_integers, register

from .noise_errors import noise_errors
from .passes import Passes
from .questions import Question, lay_out, split

Weigh = Callable[[int, Tensor, Tensor, Tensor], Tensor]
"""A question's number, with coarse probabilities, where candidates may be, mean errors -> posterior; all (N, h, w)."""


@register
class Race:
    """Sequential halving: what cannot win a place is not asked there again.

    Where a place has been decided, layouts show its leader, and parts of the image that do not touch are asked about
    different classes in one pass: fewer passes, in better surroundings.
    """

    def __init__(self, *, timesteps: Sequence[int] = (300, 200, 100), keep: Sequence[int] = (4, 3)) -> None:
        """Args:
            timesteps: noise levels, the most telling one first.
            keep: candidates that are left at a place, at most, for the second timestep, the third, and so on.

        Raises:
            ValueError: if there are not one timestep more than numbers of candidates, or a number is out of range.
        """
        self.timesteps = expect_integers('timesteps', timesteps, 'integers, one at least')
        self.keep = expect_integers('keep', keep, 'integers of at least 2', holds=lambda v: v >= 2, least=0)
        if len(timesteps) != len(keep) + 1:
            raise ValueError(
                f'keep: expected one number less than timesteps, {len(timesteps) - 1}, got {len(keep)}: {keep!r}'
            )

    def __call__(
        self, passes: Passes, questions: Sequence[Question], draws: int, weigh: Weigh
    ) -> tuple[list[Tensor], list[int]]:
        """Asks all questions side by side, so that batches are full; none depends on another's answers.

        Args:
            passes: ask the prior.
            questions: any number.
            draws: of the noise, at each timestep.
            weigh: says how probable candidates are by what is known so far.

        Returns:
            For each question the mean errors, (N, h, w) float32, and the passes that it took.
        """
        if not questions:
            return [], []
        shown, counts = [q.encoded for q in questions], [len(q.candidates) * draws for q in questions]
        found = noise_errors(passes, shown, lay_out(passes, questions), self.timesteps[:1], draws)
        means = split(found, [len(q.candidates) for q in questions])
        probs, open_to = (list(maps) for maps in zip(*(q.cell_probs() for q in questions), strict=True))
        for number, (timestep, keep) in enumerate(zip(self.timesteps[1:], self.keep, strict=True), start=2):
            posteriors = [weigh(i, p, o, m) for i, (p, o, m) in enumerate(zip(probs, open_to, means, strict=True))]
            open_to = [keep_leaders(p, o, keep) for p, o in zip(posteriors, open_to, strict=True)]
            plans = [_plan(o) for o in open_to]
            layouts = [
                passes.place(i, q.encoded, q.fill_cells(torch.where(rows >= 0, rows, _leaders(p, o))), q.classes)
                for i, (q, plan, p, o) in enumerate(zip(questions, plans, posteriors, open_to, strict=True))
                for rows in plan
            ]
            found = noise_errors(passes, shown, layouts, [timestep], draws)
            for i, answers in enumerate(split(found, [len(plan) for plan in plans])):
                if len(answers):
                    errors, asked = read_answers(plans[i], answers, len(means[i]))
                    means[i] = update_means(means[i], errors, asked, number)
                    counts[i] += len(answers) * draws
        return means, counts


def _plan(open_to: Tensor) -> Tensor:
    """Layouts, (M, h, w), for the places where more than one of N candidates, (N, h, w) bool, is left."""
    contested = open_to & (open_to.sum(dim=0) > 1)
    # parts are found step by step: on a GPU each step would wait for the device
    return pack_parts(contested.cpu()).to(open_to.device)


def _leaders(posterior: Tensor, open_to: Tensor) -> Tensor:
    """The most probable candidate that is left at each place: (N, h, w) twice -> (h, w) int64."""
    return posterior.masked_fill(~open_to, -torch.inf).argmax(dim=0)
