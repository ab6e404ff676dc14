"""Every parameter of G4Seg, each with what it does; equation numbers are the paper's."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Literal, get_args

from mmseg_g4seg.diffusion.injection.attention import InjectionRule
from mmseg_g4seg.diffusion.inversion import InversionMethod, InversionSettings
from mmseg_g4seg.prediction import ClassName, synonyms

UpdateRule = Literal['correspondence', 'likelihood']
Mixing = Literal['replace', 'residual']
Upsampling = Literal['bilinear', 'guided']
Inversion = Literal['single_step'] | InversionMethod

INTEGERS = (
    'timestep', 'seed', 'iterations', 'likelihood_draws', 'likelihood_crops', 'correspondence_draws',
    'inversion_steps', 'inversion_inner_steps',
)  # fmt: skip
NUMBERS = (
    'cross_weight', 'self_weight', 'control_scale', 'beta', 'inversion_guidance', 'injected_share',
    'match_temperature', 'likelihood_crop_side', 'likelihood_sharpness', 'candidate_threshold', 'min_area',
)  # fmt: skip


@dataclass(frozen=True)
class G4SegSettings:
    """Parameters of `G4SegRefiner`; the defaults are the paper's for open-vocabulary models.

    Attributes:
        image_size: side, or (height, width), that images are resized to for the prior; multiples of
            the prior's `image_multiple`.
        timestep: noise level of the reconstruction, a training timestep of the prior's scheduler.
        cross_weight: injected bias in cross-attention, alpha / sqrt(d) of Eq. 3-5; 0 turns it off.
        self_weight: the same in self-attention.
        control_scale: factor on what the prior's ControlNet adds, where it has one; 0 turns it off. In place
            of injection into attention: weights of 0 beside it.
        control_palette: colours of the data set's classes, RGB in 0 to 255, for the ControlNet: a class
            that ADE20K lacks is shown in the ADE20K colour nearest to its own. None: PASCAL VOC's.
        injection_rule: `g4seg` adds the weights to the similarities; `dense_diffusion` moves
            similarities towards the ends of their range.
        joint: inject all classes of an image in one pass, in place of one class at a time.
        prompt_template: the prompt, `{name}` standing for the class name (or names).
        class_names: names to use in place of the data set's; a class may have several synonyms.
        known_classes: names of the classes that the prior was trained on; the others are neither refined nor named
            to it. None: all, as with a prior that reads any word.
        update: how reconstruction changes probabilities: `correspondence` (Eq. 8-9), or
            `likelihood`, which asks the prior how well each class explains the uncertain pixels.
        beta: share of the old probability that the correspondence update keeps (Eq. 9); the paper
            takes 0.8 for open-vocabulary and 0.9 for weakly supervised masks.
        confidence_range: foreground probabilities that may change (the filter CF). The likelihood
            update changes pixels whose highest class probability is below its upper end.
        mixing: `replace` mixes with the probability at the match; `residual` mixes in the
            difference between match and pixel, taken on the feature grid, which leaves what is
            thinner than a feature cell alone.
        upsampling: of what the prior says, from its grid to the image's: `bilinear`, or `guided`, which
            follows the image's edges.
        inversion: how the correspondence update makes its reconstruction: `single_step` noises the image
            to `timestep` and denoises it at once; the others invert it by a deterministic sampler
            and generate it anew under the mask (see `InversionMethod`), tens of passes a class.
        inversion_steps: of that sampler.
        inversion_guidance: its classifier-free guidance; 1 is none.
        inversion_inner_steps: most optimisation steps of `null_text` at each step.
        injected_share: of the sampler's steps, the noisiest first, in which the mask is injected.
        correspondence_draws: noise draws that the correspondence update averages over.
        match_temperature: 0 takes the single best match (Eq. 8); above, matches are averaged with the
            softmax of similarity / temperature.
        match_radius: matches lie within this share of the feature grid's longer side; None: anywhere.
        match_mutual: only matches that hold in both directions count; other places stay.
        likelihood_timesteps: noise levels that the likelihood update averages its error over.
        likelihood_draws: noise draws at each of them.
        likelihood_crops: along each side of the image, overlapping and every second one mirrored: the prior is
            asked in each, and its errors are averaged where crops overlap; 1 asks about the whole image.
        likelihood_crop_side: side of a crop, as a share of the image's; at least 1 / likelihood_crops.
        likelihood_sharpness: lambda, the factor from error to negative log-likelihood.
        likelihood_bound: most that the prior may say for or against a class, in nats, whatever its error: at
            0.4 the odds of two classes change by a factor of exp(0.8) at most. None: no bound.
        likelihood_proportions: let an image's class proportions follow what the prior finds: a class that it
            gives more of the image gains elsewhere in it, too, beyond `likelihood_bound`. See `shift_proportions`.
        likelihood_smoothing: side, in latent cells, of the box that errors are averaged over, odd; or
            several, whose averages are averaged: error maps at more than one scale.
        candidate_threshold: least coarse probability of a class for the likelihood update to consider
            it at a pixel; 0 considers every class of the image everywhere.
        accept: keep a class's update only if the prior predicts the noise better under the refined
            mask than under the coarse one, where the class gained pixels (Eq. 6). Both masks are shown to
            it whole, at the likelihood update's timesteps and draws: two more passes at each.
        min_area: least share of an image's pixels that a class must cover to be refined.
        background_index: class without a name: it is no region of the prior's layouts, and the paper's update does
            not move it. The likelihood update may give an uncertain pixel to it.
        background_threshold: where the coarse model calls pixels background unless a foreground
            class reaches a threshold: that threshold. None decides by argmax.
        seed: of the noise; with an image's key it fixes every draw.
        passes_per_batch: how many layouts (classes of one image or of several) go through the
            denoiser at once, at most; as many as memory holds on a GPU, and 8 on a CPU, when not given.
        memory_budget: what such a batch may take on a GPU, in GiB; nine tenths of what is free when not
            given. See `MemoryBudget`.
        iterations: how often the refinement is repeated on its own result; the likelihood update draws new noise
            each time.
    """

    image_size: int | tuple[int, int] = 512
    timestep: int = 400
    cross_weight: float = 1.0
    self_weight: float = 0.3
    control_scale: float = 1.0
    control_palette: Sequence[Sequence[int]] | None = None
    injection_rule: InjectionRule = 'g4seg'
    joint: bool = False
    prompt_template: str = 'a photo of {name}'
    class_names: Sequence[ClassName] | None = None
    known_classes: Sequence[str] | None = None
    update: UpdateRule = 'correspondence'
    beta: float = 0.8
    confidence_range: tuple[float, float] = (0.2, 0.6)
    mixing: Mixing = 'replace'
    upsampling: Upsampling = 'bilinear'
    inversion: Inversion = 'single_step'
    inversion_steps: int = 50
    inversion_guidance: float = 7.5
    inversion_inner_steps: int = 10
    injected_share: float = 1.0
    correspondence_draws: int = 1
    match_temperature: float = 0.0
    match_radius: float | None = None
    match_mutual: bool = False
    likelihood_timesteps: Sequence[int] = (100, 200, 300, 400, 500, 600)
    likelihood_draws: int = 1
    likelihood_crops: int = 1
    likelihood_crop_side: float = 0.75
    likelihood_sharpness: float = 30.0
    likelihood_bound: float | None = None
    likelihood_proportions: bool = False
    likelihood_smoothing: int | Sequence[int] = 3
    candidate_threshold: float = 0.0
    accept: bool = False
    min_area: float = 0.0
    background_index: int | None = None
    background_threshold: float | None = None
    seed: int = 0
    passes_per_batch: int | None = None
    memory_budget: float | None = None
    iterations: int = 1

    def __post_init__(self) -> None:
        self._check_types()
        self._expect('beta', 0 <= self.beta <= 1, 'a number in [0, 1]')
        low, high = self.confidence_range
        self._expect('confidence_range', 0 <= low <= high <= 1, '0 <= low <= high <= 1')
        self._expect('min_area', 0 <= self.min_area <= 1, 'a share in [0, 1]')
        self._expect('passes_per_batch', self.passes_per_batch is None or self.passes_per_batch >= 1, 'at least 1')
        self._expect('memory_budget', self.memory_budget is None or self.memory_budget > 0, 'GiB above 0, or None')
        self._expect('iterations', self.iterations >= 1, 'at least 1')
        self._expect('likelihood_draws', self.likelihood_draws >= 1, 'at least 1')
        self._expect('likelihood_timesteps', len(self.likelihood_timesteps) > 0, 'at least one timestep')
        self._expect('likelihood_crops', self.likelihood_crops >= 1, 'at least 1')
        covers = self.likelihood_crop_side * self.likelihood_crops >= 1 or self.likelihood_crops == 1
        side = self.likelihood_crop_side
        self._expect('likelihood_crop_side', 0 < side <= 1 and covers, 'a share of 1 / likelihood_crops to 1')
        self._expect('likelihood_sharpness', self.likelihood_sharpness >= 0, 'at least 0')
        bounded = self.likelihood_bound
        self._expect('likelihood_bound', bounded is None or bounded > 0, 'nats above 0, or None')
        odd = len(self.windows) > 0 and all(side % 2 == 1 and side >= 1 for side in self.windows)
        self._expect('likelihood_smoothing', odd, 'an odd number of cells, or several')
        self._expect('candidate_threshold', 0 <= self.candidate_threshold <= 1, 'a probability in [0, 1]')
        methods = ('single_step', *get_args(InversionMethod))
        self._expect('inversion', self.inversion in methods, f'one of {methods}')
        self._expect('inversion_steps', self.inversion_steps >= 1, 'at least 1')
        self._expect('inversion_inner_steps', self.inversion_inner_steps >= 1, 'at least 1')
        self._expect('inversion_guidance', self.inversion_guidance >= 0, 'at least 0')
        self._expect('injected_share', 0 <= self.injected_share <= 1, 'a share in [0, 1]')
        if self.inversion != 'single_step':
            self._expect('update', self.update == 'correspondence', "'correspondence', which inversion serves")
            self._expect('correspondence_draws', self.correspondence_draws == 1, '1: inversion draws no noise')
        self._expect('correspondence_draws', self.correspondence_draws >= 1, 'at least 1')
        self._expect('match_temperature', self.match_temperature >= 0, 'at least 0')
        self._expect('match_radius', self.match_radius is None or self.match_radius > 0, 'a share above 0, or None')
        self._expect('upsampling', self.upsampling in get_args(Upsampling), f'one of {get_args(Upsampling)}')
        self._expect('cross_weight', self.cross_weight >= 0, 'at least 0')
        self._expect('self_weight', self.self_weight >= 0, 'at least 0')
        self._expect('control_scale', self.control_scale >= 0, 'at least 0')
        colours = [tuple(colour) for colour in self.control_palette or ()]
        rgb = all(len(colour) == 3 and all(0 <= value <= 255 for value in colour) for colour in colours)
        self._expect('control_palette', rgb, 'colours of three values in 0 to 255, or None')
        self._expect('update', self.update in get_args(UpdateRule), f'one of {get_args(UpdateRule)}')
        self._expect('mixing', self.mixing in get_args(Mixing), f'one of {get_args(Mixing)}')
        self._expect(
            'injection_rule', self.injection_rule in get_args(InjectionRule), f'one of {get_args(InjectionRule)}'
        )
        self._expect('prompt_template', self.prompt_template.count('{name}') == 1, "one '{name}' in it")
        if self.background_threshold is not None and self.background_index is None:
            raise ValueError('background_threshold: expected background_index beside it, got none')
        listed = self.known_classes is None or (bool(self.known_classes) and not isinstance(self.known_classes, str))
        self._expect('known_classes', listed, 'a list of names, or None')
        for name in (*(self.class_names or ()), *(self.known_classes or ())):
            synonyms(name)

    def _check_types(self) -> None:
        """Configs are written by hand: a number in quotes is said here, by its name."""
        for name in INTEGERS:
            self._expect(name, isinstance(getattr(self, name), Integral), 'an integer')
        for name in NUMBERS:
            value = getattr(self, name)
            self._expect(name, isinstance(value, Real) and math.isfinite(value), 'a finite number')
        for name in ('passes_per_batch', 'memory_budget', 'likelihood_bound'):
            kind, wanted = (Integral, 'an integer') if name == 'passes_per_batch' else (Real, 'a number')
            value = getattr(self, name)
            self._expect(name, value is None or isinstance(value, kind), f'{wanted}, or None')
        sides = self.image_size if isinstance(self.image_size, list | tuple) else [self.image_size] * 2
        whole = len(sides) == 2 and all(isinstance(side, Integral) for side in sides)
        self._expect('image_size', whole, 'an integer, or (height, width)')

    def _expect(self, name: str, holds: bool, expected: str) -> None:
        if not holds:
            raise ValueError(f'{name}: expected {expected}, got {getattr(self, name)!r}')

    def knows(self, name: ClassName) -> bool:
        """Whether the prior was trained on a class, by any of its names."""
        called, known = synonyms(name), self.known_classes
        return known is None or any(word in called for entry in known for word in synonyms(entry))

    @property
    def generation(self) -> InversionSettings | None:
        """How reconstructions are made by inversion; None for one step."""
        if self.inversion == 'single_step':
            return None
        return InversionSettings(
            method=self.inversion,
            steps=self.inversion_steps,
            guidance_scale=self.inversion_guidance,
            inner_steps=self.inversion_inner_steps,
            injected_share=self.injected_share,
        )

    @property
    def windows(self) -> tuple[int, ...]:
        """Sides of the boxes of `likelihood_smoothing`."""
        sides = self.likelihood_smoothing
        return (sides,) if isinstance(sides, int) else tuple(sides)

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of `image_size`."""
        if isinstance(self.image_size, int):
            return self.image_size, self.image_size
        height, width = self.image_size
        return int(height), int(width)
