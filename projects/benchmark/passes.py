"""Single passes, apart from any refiner: the denoiser with and without injection, the text encoders."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from mmseg_g4seg.diffusion.families.latent import LatentPrior
from mmseg_g4seg.diffusion.injection import MaskInjector
from mmseg_g4seg.ops.clock import seconds_on
from mmseg_g4seg.ops.masks import present_classes
from mmseg_g4seg.prediction import ClassList
from mmseg_g4seg.refiners.g4seg.layouts import Layout, class_regions
from mmseg_g4seg.refiners.g4seg.passes import Passes
from mmseg_g4seg.refiners.g4seg.reconstruction import OneStep

from .cases import BACKGROUND, PROMPT, Case
from .flops import counted_flops
from .options import BenchmarkOptions
from .paper_loop import no_known_prompts
from .repeats import Timed, by_turns, median_run
from .results import InjectionCost, TextCost

Call = Callable[[], Any]


class PassBench:
    """Measures passes of one prior."""

    def __init__(self, prior: LatentPrior, options: BenchmarkOptions) -> None:
        self.prior, self.options = prior, options
        self.clock = partial(seconds_on, prior.device)

    @torch.no_grad()
    def calls(self, case: Case) -> dict[str, Call]:
        """One pass over as many classes as go through the denoiser at once, `plain` and `injected` with their masks."""
        labels, total = case.prediction.label_map, len(case.class_names)
        classes = present_classes(labels, total, background_index=BACKGROUND)[: self.options.passes_per_batch]
        size, timestep = (self.options.size, self.options.size), OneStep().timestep
        clean = self.prior.encode_images(torch.zeros(1, 3, *size, device=self.prior.device))
        layouts = [Layout(0, (c,), class_regions(labels, [c], clean.shape[-2:])) for c in classes]
        names = ClassList(case.class_names)
        passes = Passes(self.prior, [MaskInjector()], names, image_size=size, prompt_template=PROMPT)
        prompts, masks = passes.condition(layouts, timestep)
        generator = torch.Generator().manual_seed(self.options.seed)
        noisy = torch.randn(len(classes), *clean.shape[1:], generator=generator).to(clean)
        return {
            'plain': lambda: self.prior.denoise(noisy, timestep, prompts),
            'injected': lambda: self.prior.denoise(noisy, timestep, prompts, masks),
        }

    @torch.no_grad()
    def injection(self, case: Case) -> InjectionCost:
        """What masks cost in a pass, see `calls`."""
        calls, total = self.calls(case), len(case.class_names) - 1
        flops = {name: self._flops(call) for name, call in calls.items()}  # warms up
        seconds, images = self.seconds(calls), min(total, self.options.passes_per_batch)
        return InjectionCost(total, images, seconds['plain'], seconds['injected'], flops['plain'], flops['injected'])

    def text(self, case: Case) -> TextCost:
        """Encoding the prompts of all classes, one each."""
        names = [[name] for i, name in enumerate(case.class_names) if i != BACKGROUND]

        def cold() -> None:
            with no_known_prompts(self.prior):
                self.prior.encode_prompts(names, PROMPT)

        seconds = self.seconds({'cold': cold, 'warm': lambda: self.prior.encode_prompts(names, PROMPT)})
        return TextCost(len(names), seconds['cold'], seconds['warm'])

    def seconds(self, calls: dict[str, Call]) -> dict[str, float]:
        """Median seconds of each call, taken by turns."""
        runs = {name: self._timer(call) for name, call in calls.items()}
        # single passes are short, and their difference is what counts: more of them
        timed = by_turns(runs, repeats=3 * self.options.repeats, limit_seconds=self.options.limit_seconds)
        return {name: median_run(results).seconds for name, results in timed.items()}

    def _timer(self, call: Call) -> Callable[[], Timed[None]]:
        def run() -> Timed[None]:
            start = self.clock()
            call()
            return Timed(self.clock() - start, None)

        return run

    @staticmethod
    def _flops(call: Call) -> float:
        with counted_flops() as counter:
            call()
        return float(counter.get_total_flops())
