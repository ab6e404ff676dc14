# The demo's coarse model, trained on generated pictures alone and validated on the held-out scenes:
#   python tools/generate.py --prior tiny --classes data/scenes/classes.txt --count 500 --out data/generated \
#       --objects 3-4 --size 128 --steps 6 --guidance 1
_base_ = [
    './segformer_tiny.py',
    './scenes_val.py',
    '../../../configs/_base_/datasets/generated.py',
    './schedule_2500.py',
    'mmseg::_base_/default_runtime.py',
]
custom_imports = dict(imports=['mmseg_g4seg'], allow_failed_imports=False)

train_dataloader = dict(
    batch_size=8, num_workers=0, persistent_workers=False, dataset=dict(pipeline=_base_.train_pipeline)
)
