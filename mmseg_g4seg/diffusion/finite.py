"""Notices numbers that overflow behind a frozen network, without waiting for the device at every pass."""

import torch
from torch import Tensor


class FiniteWatch:
    """Remembers, on the device, whether what each network gave was finite.

    In float16 a network that is fine in float32 gives infinities as soon as one activation exceeds 65504, and
    NaN right after. Matching and mixing then go on, and end in labels that look like any others.
    """

    def __init__(self) -> None:
        self._finite: dict[tuple[str, torch.dtype], Tensor] = {}

    def note(self, part: str, dtype: torch.dtype, output: Tensor) -> Tensor:
        """Notes one output of a network, and gives it back; nothing is read from the device.

        Args:
            part: of the prior, as the error calls it.
            dtype: that the network computed in.
            output: (B, ...) float.
        """
        finite = output.detach().isfinite().all()
        seen = self._finite.get((part, dtype))
        # a prior that was moved since: flags on two devices cannot be combined
        self._finite[part, dtype] = finite if seen is None or seen.device != finite.device else seen & finite
        return output

    def check(self) -> None:
        """Looks at what was noted since the last check; the one place that waits for the device.

        Raises:
            FloatingPointError: if something was not finite; names the part, its dtype and the remedy.
        """
        noted, self._finite = self._finite, {}
        if not noted or bool(torch.stack([finite.cpu() for finite in noted.values()]).all()):
            return
        # what comes first in a pass is to blame: the others were given its NaN
        part, dtype = next(key for key, finite in noted.items() if not finite)
        name = str(dtype).removeprefix('torch.')
        remedy = (
            "expected float16 to hold what it computes, which it does up to 65504: dtype='bfloat16', or 'float32'"
            if dtype == torch.float16
            else 'expected finite numbers: are the weights damaged, or the input?'
        )
        raise FloatingPointError(f'the {part} of the prior gave NaN or infinite numbers in {name}; {remedy}')
