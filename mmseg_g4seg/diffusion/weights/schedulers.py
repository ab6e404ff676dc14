"""Tells by a prior's scheduler config whether its noise levels are those of the class that it is loaded as."""

import inspect
from collections.abc import Mapping
from typing import Any

PLAIN: dict[str, tuple[Any, ...]] = {
    'use_flow_sigmas': (False,),
    'timestep_type': ('discrete',),
    'snr_shift_scale': (1, 1.0),
    'prediction_type': ('epsilon', 'v_prediction', 'sample'),
}
"""Settings of schedulers with betas, and the values under which the betas say everything."""
LCM_TIMESTEP_SCALING = 10.0
"""Of diffusers' `LCMScheduler`, as long as it could not be set."""


def implied_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """Settings that a scheduler's class implies and its config leaves out.

    Args:
        config: of the prior's `scheduler_config.json`.
    """
    # diffusers before 0.24 did not write the setting that LCM is recognised by: such a prior would draw by DDIM
    if config.get('_class_name') == 'LCMScheduler' and 'timestep_scaling' not in config:
        return {'timestep_scaling': LCM_TIMESTEP_SCALING}
    return {}


def check_scheduler(config: Mapping[str, Any], loaded_as: str, where: str) -> None:
    """Refuses a scheduler whose noise levels are others than those that it would be loaded with.

    diffusers loads any config into any scheduler, with defaults for what is missing: an EDM config gives DDIM's betas,
    and a prior that is asked at wrong noise levels answers with wrong pictures, without a word.

    Args:
        config: of the prior's `scheduler_config.json`.
        loaded_as: the family's scheduler, `DDIMScheduler` or `FlowMatchEulerDiscreteScheduler`; another class, of a
            family of one's own, is not checked.
        where: the file, for the message.

    Raises:
        ValueError: if it is of another kind; names the scheduler, and the setting.
    """
    name = str(config.get('_class_name', loaded_as))
    if loaded_as.startswith('FlowMatch'):
        if not name.startswith('FlowMatch'):
            raise ValueError(f'{where}: expected a scheduler of flow matching, such as {loaded_as}, got {name}')
    elif loaded_as == 'DDIMScheduler':
        if not _has_betas(name, config):
            raise ValueError(
                f'{where}: expected a scheduler with betas, such as {loaded_as}, got {name}: priors of EDM and of flow '
                'matching in U-Nets are not supported'
            )
        for setting, values in PLAIN.items():
            if config.get(setting, values[0]) not in values:
                raise ValueError(
                    f'{where}: expected {setting} {" or ".join(map(repr, values))} of a {name}, got '
                    f'{config[setting]!r}: its noise levels are others than its betas say'
                )


def _has_betas(name: str, config: Mapping[str, Any]) -> bool:
    import diffusers

    known = getattr(diffusers, name, None)
    # of a package of its own or of a later version; or one that needs torchsde, for which diffusers has a stand-in
    if known is None or hasattr(known, '_backends'):
        return 'beta_schedule' in config
    return 'beta_schedule' in inspect.signature(known.__init__).parameters
