# The demo's scenes with its segmentor's scores: `python -m projects.demo.score_scenes work_dirs/scenes tune=60`.
import os

scenes = os.environ.get('SCENES', 'work_dirs/scenes')
sets = dict(
    tune=dict(
        images=f'{scenes}/images/tune',
        scores=f'{scenes}/scores/tune',
        labels=f'{scenes}/labels/tune',
        classes=f'{scenes}/classes.txt',
    )
)
