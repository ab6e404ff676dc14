"""Image classifiers whose scores are means of maps: what class activation maps can be read in.

Shapes: B images, O outputs, D feature channels, H W image size, h w feature grid.
"""

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmseg_g4seg.ops.imagenet import IMAGENET_MEAN, IMAGENET_STD

TIMM = 'timm/'
IRN_BACKBONE = 'resnet50.'


class MapClassifier:
    """A classifier that ends in global average pooling and one linear layer."""

    def __init__(self, network: Any) -> None:
        """Args:
            network: `nn.Module` of timm, or of torchvision with the parts `avgpool` and `fc`, such as a ResNet.

        Raises:
            ValueError: if its scores are no means of maps, as where a norm stands behind the pooling.
        """
        self.network = network.eval().requires_grad_(False)
        settings = getattr(network, 'pretrained_cfg', None) or {}
        self.mean, self.std = settings.get('mean', IMAGENET_MEAN), settings.get('std', IMAGENET_STD)
        head = network.get_classifier() if hasattr(network, 'get_classifier') else getattr(network, 'fc', None)
        named = f'expected a classifier of global average pooling and one linear layer, got {type(network).__name__}'
        if not isinstance(head, nn.Linear) or not (hasattr(network, 'forward_features') or hasattr(network, 'avgpool')):
            raise ValueError(named)
        self.weight = head.weight
        # Inception's grid has no cell left below 75 pixels
        pixels = torch.linspace(-1, 1, 2 * 3 * 96 * 96).view(2, 3, 96, 96).to(head.weight)
        try:
            with torch.no_grad():
                scores, means = network(pixels), self._project(self.features(pixels)).mean(dim=(2, 3))
        # transformers of timm take images of one size alone, and assert it
        except (AssertionError, RuntimeError) as error:
            raise ValueError(f'{named}: {error}') from error
        if head.bias is not None:
            means = means + head.bias
        if scores.shape != means.shape or not torch.allclose(scores, means, rtol=1e-3, atol=1e-3 * float(means.std())):
            raise ValueError(f'{named}, whose scores are no means of its maps')

    @property
    def outputs(self) -> int:
        """O."""
        return len(self.weight)

    def to(self, device: torch.device | str) -> None:
        """Moves the network to a device, in place."""
        self.network.to(device)

    def maps(self, images: Tensor) -> Tensor:
        """Where an output's score comes from: (B, 3, H, W) float RGB in [0, 1] -> (B, O, h, w) float32, at least 0."""
        mean, std = (torch.tensor(values).view(1, 3, 1, 1).to(self.weight) for values in (self.mean, self.std))
        # without the bias, as IRN's: it is the same everywhere
        return self._project(self.features((images.to(self.weight) - mean) / std)).relu().float()

    def features(self, pixels: Tensor) -> Tensor:
        """What the pooling takes: normalised (B, 3, H, W) -> (B, D, h, w)."""
        if hasattr(self.network, 'forward_features'):
            return self.network.forward_features(pixels)
        kept: list[Tensor] = []
        hook = self.network.avgpool.register_forward_pre_hook(lambda _, inputs: kept.append(inputs[0]))
        try:
            self.network(pixels)
        finally:
            hook.remove()
        return kept[0]

    def _project(self, features: Tensor) -> Tensor:
        """(B, D, h, w) -> (B, O, h, w)."""
        if features.ndim != 4 or features.shape[1] != self.weight.shape[1]:
            raise ValueError(f'expected features (B, {self.weight.shape[1]}, h, w), got {tuple(features.shape)}')
        return F.conv2d(features, self.weight[:, :, None, None])


def load_classifier(model: str, weights: str | Path, outputs: int) -> MapClassifier:
    """Builds a classifier with its weights.

    Args:
        model: torchvision's name of it, such as `resnet50`, or timm's behind `timm/`, such as `timm/resnet50`.
        weights: file of a state dict, or of a checkpoint that holds one; or IRN's own `res50_cam.pth`.
        outputs: O.

    Raises:
        ImportError: if torchvision or timm is missing.
        FileNotFoundError: if there is no such file.
        ValueError: if there is no such model, or the weights are of another one.
    """
    path = Path(weights).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f'weights: no file {path}')
    network = _build(model, outputs)
    try:
        content = torch.load(path, map_location='cpu', weights_only=True)
        state = content.get('state_dict', content)
        if any(name.startswith(IRN_BACKBONE) for name in state):
            state = _from_irn(state, network)
        network.load_state_dict(state)
    except Exception as error:
        reason = ' '.join(str(error).split())[:300] or type(error).__name__
        raise ValueError(f'{path}: expected the weights of {model} with {outputs} outputs: {reason}') from error
    return MapClassifier(network)


def _build(model: str, outputs: int) -> nn.Module:
    library = 'timm' if model.startswith(TIMM) else 'torchvision'
    try:
        package: Any = import_module('timm' if library == 'timm' else 'torchvision.models')
    except ImportError as error:
        raise ImportError(f'CAM needs {library}: pip install "mmseg_g4seg[seeds]"') from error
    build = package.create_model if library == 'timm' else package.get_model
    try:
        return build(model.removeprefix(TIMM), num_classes=outputs)
    except (ValueError, RuntimeError, KeyError) as error:
        raise ValueError(f'model: expected a classifier of {library}, got {model!r}: {error}') from error


def _from_irn(state: Mapping[str, Tensor], network: Any) -> dict[str, Tensor]:
    """IRN's checkpoint as a ResNet-50 of torchvision; the network gets its last stage's stride of 1."""
    # its checkpoints are of a network whose grid is a sixteenth: with the usual stride the maps would be half as fine
    network.layer4[0].conv2.stride = network.layer4[0].downsample[0].stride = (1, 1)
    own = {name.removeprefix(IRN_BACKBONE): w for name, w in state.items() if name.startswith(IRN_BACKBONE)}
    head = state['classifier.weight'].flatten(1)
    return {**own, 'fc.weight': head, 'fc.bias': head.new_zeros(len(head))}
