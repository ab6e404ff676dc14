# The demo's coarse model: tools/train.py trains it from scratch in minutes on two CPU cores.
_base_ = ['./segformer_tiny.py', './scenes.py', './schedule_2500.py', 'mmseg::_base_/default_runtime.py']
custom_imports = dict(imports=['mmseg_g4seg'], allow_failed_imports=False)
