"""What users compare with: dense CRF and CascadePSP on the same masks."""

from collections.abc import Callable

import torch

from mmseg_g4seg.refiners.base import Refiner
from mmseg_g4seg.refiners.binary.cascade_psp import CascadePSPRefiner
from mmseg_g4seg.refiners.dense_crf import DenseCRFRefiner


def build_dense_crf(device: torch.device) -> Refiner:
    """DeepLab's dense CRF; it runs on the CPU, one thread, whatever the device.

    Raises:
        ImportError: if pydensecrf is missing.
    """
    try:
        import pydensecrf.densecrf  # noqa: F401
    except ImportError as error:
        raise ImportError('needs pydensecrf2: pip install "mmseg_g4seg[crf]"') from error
    return DenseCRFRefiner()


def build_cascade_psp(device: torch.device) -> Refiner:
    """CascadePSP with random weights, with its global and local passes as published, float32.

    Raises:
        ImportError: if its package is missing.
    """
    try:
        from segmentation_refinement.models.psp.pspnet import RefinementModule
    except ImportError as error:
        raise ImportError('needs segmentation-refinement: pip install "mmseg_g4seg[cascadepsp]"') from error
    return CascadePSPRefiner(RefinementModule().to(device))


COMPARISONS: dict[str, Callable[[torch.device], Refiner]] = {
    'dense-crf': build_dense_crf,
    'cascade-psp': build_cascade_psp,
}
