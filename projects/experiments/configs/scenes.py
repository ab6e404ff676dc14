# The demo's scenes with its segmentor's scores: `python -m projects.demo.score_scenes work_dirs/scenes tune=60 val=48`.
import os

scenes, split = os.environ.get('SCENES', 'work_dirs/scenes'), os.environ.get('SPLIT', 'tune')
sets = {
    split: dict(
        images=f'{scenes}/images/{split}',
        scores=f'{scenes}/scores/{split}',
        labels=f'{scenes}/labels/{split}',
        classes=f'{scenes}/classes.txt',
    )
}
