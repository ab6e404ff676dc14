"""Schedulers by their configs: every one of diffusers' that has a U-Net's noise levels is taken, no other is."""

import json
import shutil

import diffusers
import pytest
import torch
from diffusers import DDIMScheduler

from mmseg_g4seg.diffusion.loading import load_prior
from mmseg_g4seg.diffusion.weights.schedulers import check_scheduler
from tests.diffusion.pipelines import build_sd3, build_sdxl, edit_config, save

SCHEDULER = 'scheduler/scheduler_config.json'
BETAS = dict(beta_start=0.00085, beta_end=0.012, beta_schedule='scaled_linear')


@pytest.fixture(scope='module')
def sdxl(tmp_path_factory):
    return save(build_sdxl(), tmp_path_factory.mktemp('sdxl'))


@pytest.fixture
def folder(sdxl, tmp_path):
    return shutil.copytree(sdxl, tmp_path / 'prior')


@pytest.mark.parametrize(
    'name',
    [
        'EDMEulerScheduler',
        'EDMDPMSolverMultistepScheduler',
        'CosineDPMSolverMultistepScheduler',
        'FlowMatchEulerDiscreteScheduler',
        'FlowMatchHeunDiscreteScheduler',
        'SCMScheduler',
    ],
)
def test_other_noise_levels_are_refused_by_name(folder, name):
    """Playground 2.5 and CosXL: an SDXL pipeline, loaded with DDIM's default betas without a word."""
    noise_levels = dict(sigma_min=0.002, sigma_max=120.0, num_train_timesteps=1000, prediction_type='v_prediction')
    (folder / SCHEDULER).write_text(json.dumps({'_class_name': name, **noise_levels}))
    message = rf'{SCHEDULER}: expected a scheduler with betas, such as DDIMScheduler, got {name}: priors of EDM and of'
    with pytest.raises(ValueError, match=message):
        load_prior(folder)


@pytest.mark.parametrize(
    ('name', 'setting', 'value'),
    [
        ('DPMSolverMultistepScheduler', 'use_flow_sigmas', True),
        ('UniPCMultistepScheduler', 'prediction_type', 'flow_prediction'),
        ('EulerDiscreteScheduler', 'timestep_type', 'continuous'),
        ('CogVideoXDDIMScheduler', 'snr_shift_scale', 3.0),
    ],
)
def test_settings_that_say_other_noise_levels(folder, name, setting, value):
    options = {'sigma_min': 0.002, 'sigma_max': 700.0} if setting == 'timestep_type' else {}
    config = getattr(diffusers, name).from_config({**BETAS, setting: value, **options})
    config.save_pretrained(folder / 'scheduler')
    with pytest.raises(ValueError, match=rf'expected {setting} .* of a {name}, got {value!r}'):
        load_prior(folder)


@pytest.mark.parametrize(
    'name',
    ['DDPMScheduler', 'PNDMScheduler', 'EulerDiscreteScheduler', 'DPMSolverMultistepScheduler', 'LMSDiscreteScheduler',
     'UniPCMultistepScheduler', 'LCMScheduler', 'TCDScheduler', 'EulerAncestralDiscreteScheduler'],
)  # fmt: skip
def test_the_same_noise_levels_under_other_names(folder, name):
    own = getattr(diffusers, name)(**BETAS)
    own.save_pretrained(folder / 'scheduler')
    expected = own.alphas_cumprod
    prior = load_prior(folder)
    found = torch.tensor([prior.alpha_cumprod(t) for t in (0, 400, 999)])
    torch.testing.assert_close(found, expected[[0, 400, 999]])
    torch.testing.assert_close(found, DDIMScheduler(**BETAS).alphas_cumprod[[0, 400, 999]])


def test_names_that_diffusers_lacks():
    check_scheduler({'_class_name': 'MyScheduler', **BETAS}, 'DDIMScheduler', 'file')
    check_scheduler(BETAS, 'DDIMScheduler', 'file')
    check_scheduler({'_class_name': 'EDMEulerScheduler'}, 'MyScheduler', 'file')
    with pytest.raises(ValueError, match=r'file: .* got MyScheduler'):
        check_scheduler({'_class_name': 'MyScheduler'}, 'DDIMScheduler', 'file')


def test_a_transformer_of_flow_matching_with_betas(tmp_path):
    folder = save(build_sd3(), tmp_path / 'sd3')
    load_prior(folder)
    edit_config(folder / SCHEDULER, _class_name='DDIMScheduler')
    with pytest.raises(ValueError, match=r'expected a scheduler of flow matching, such as FlowMatchEuler.*got DDIM'):
        load_prior(folder)
    (folder / SCHEDULER).write_text(json.dumps({}))
    load_prior(folder)
