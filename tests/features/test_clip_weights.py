"""Weights and sizes of CLIP models that would give wrong features without a word."""

import json
import shutil
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file, save_file

from mmseg_g4seg.features import OpenCLIPFeatures, TransformersCLIPFeatures
from mmseg_g4seg.features.clip import check_activation


def transformers_folder(folder):
    from transformers import CLIPConfig, CLIPModel

    torch.manual_seed(0)
    sizes = dict(hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2)
    config = CLIPConfig(
        vision_config=dict(image_size=32, patch_size=8, **sizes), text_config=dict(vocab_size=64, **sizes)
    )
    CLIPModel(config).save_pretrained(folder)
    return folder


def test_a_folder_without_a_layer_is_refused(tmp_path):
    """transformers makes the layer up: two runs differed, with a warning."""
    folder = transformers_folder(tmp_path / 'clip')
    TransformersCLIPFeatures.from_config(str(folder))  # the text model's weights are not missed
    file = folder / 'model.safetensors'
    weights = load_file(file)
    lost = next(name for name in weights if 'vision_model' in name and 'layers.1.mlp.fc1.weight' in name)
    del weights[lost]
    save_file(weights, file, metadata={'format': 'pt'})
    with pytest.raises(ValueError, match=rf"features '{folder}': expected weights of every layer, 1 are missing.*fc1"):
        TransformersCLIPFeatures.from_config(str(folder))


def test_a_config_of_fewer_layers_than_the_weights_have(tmp_path):
    """transformers left the last layer out, with a report alone; the text model's layers are none of this one's."""
    folder = transformers_folder(tmp_path / 'clip')
    config = json.loads((folder / 'config.json').read_text())
    config['vision_config']['num_hidden_layers'] = 1
    (folder / 'config.json').write_text(json.dumps(config))
    with pytest.raises(ValueError, match=r'config of every layer .* 16 weights are left out, .*layers\.1\.layer'):
        TransformersCLIPFeatures.from_config(str(folder))


def test_a_folder_of_half_precision_alone(tmp_path):
    folder = transformers_folder(tmp_path / 'clip')
    shutil.move(folder / 'model.safetensors', folder / 'model.fp16.safetensors')
    TransformersCLIPFeatures.from_config(str(folder))


def open_clip_model(**vision):
    from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg

    torch.manual_seed(0)
    given = {'layers': 1, 'width': 32, 'head_width': 16, 'patch_size': 8, 'image_size': 32, **vision}
    return CLIP(16, CLIPVisionCfg(**given), CLIPTextCfg(context_length=8, vocab_size=32, width=16, heads=2, layers=1))


@pytest.mark.parametrize(
    ('vision', 'options', 'message'),
    [
        ({'image_size': (32, 48)}, {}, 'expected a model of square images, got one of 32 x 48'),
        (
            {'image_size': (32, 48)},
            {'image_size': 32},
            'a model of 32 x 48; build it with force_image_size=32',
        ),
        ({}, {'image_size': 48}, 'got 48 and a model of 32 x 32'),
        ({}, {'image_size': 50}, 'expected a multiple of the patch, 8, got 50'),
        ({'image_size': 36}, {}, 'expected a multiple of the patch, 8, got 36'),
    ],
)
def test_sizes_that_do_not_fit(vision, options, message):
    """The side that is not the first was cut to a square's, or torch complained of tensors."""
    with pytest.raises(ValueError, match=message):
        OpenCLIPFeatures(open_clip_model(**vision), **options)


def test_no_vision_transformer():
    """Those of open_clip before 2.32 neither, which have no way to ask for patch tokens."""
    with pytest.raises(ValueError, match=r'of open_clip 3\.0 or newer, got Linear of torch\.nn'):
        OpenCLIPFeatures(SimpleNamespace(visual=torch.nn.Linear(1, 1)))


def test_the_side_that_it_was_built_for():
    assert OpenCLIPFeatures(open_clip_model(), image_size=32).image_size == 32
    assert OpenCLIPFeatures(open_clip_model(image_size=(32, 32))).image_size == 32


@pytest.mark.parametrize('model', ['ViT-B-16', 'ViT-B-16-quickgelu'])
def test_openais_archive(tmp_path, model):
    """A file has no tag; but as TorchScript it is OpenAI's, trained with QuickGELU."""
    archive, plain = tmp_path / 'ViT-B-16.pt', tmp_path / 'weights.pt'
    torch.jit.script(torch.nn.Linear(1, 1)).save(str(archive))
    torch.save(torch.nn.Linear(1, 1).state_dict(), plain)
    check_activation(model, str(plain))
    if model.endswith('quickgelu'):
        check_activation(model, str(archive))
        return
    with pytest.raises(ValueError, match=r"trained with QuickGELU, .* 'ViT-B-16-quickgelu'; got model='ViT-B-16'"):
        OpenCLIPFeatures.from_config(model, str(archive))


@pytest.mark.parametrize('pretrained', ['', 'no_such_tag'])
def test_without_weights(pretrained):
    with pytest.raises((RuntimeError, ValueError), match=r'(?i)pretrained'):
        OpenCLIPFeatures.from_config('ViT-B-32', pretrained)
