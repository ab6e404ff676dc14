"""The main job on the embedded default: scenes, segmentor, prior, table and gallery."""

import json
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner
from tqdm import tqdm

from mmseg_g4seg.hosts.mmseg.class_names import announce_settings
from mmseg_g4seg.hosts.mmseg.launch.run import build_runner

from .gallery import save_gallery
from .scenes.folder import write_split

ASSETS = Path(__file__).parent / 'assets'
GALLERY_ROWS = 5
"""Images that gained, and as many that lost, in the gallery."""
CHECKPOINT = ASSETS / 'segformer_tiny_scenes.pth'


class _Progress(Hook):
    """A bar over the images, in place of mmengine's lines."""

    def before_test(self, runner: Runner) -> None:
        self._bar = tqdm(total=len(runner.test_dataloader.dataset), desc='refining', unit='image')

    def after_test_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        self._bar.update(len(outputs))

    def after_test(self, runner: Runner) -> None:
        self._bar.close()


def run_demo(
    config_file: Path, folder: Path, *, data: Path, images: int, split: str = 'val', seed: int = 0
) -> dict[str, Any]:
    """Evaluates the embedded segmentor and refiner on held-out scenes.

    Args:
        config_file: the demo's config.
        folder: where `metrics.json`, `table.txt`, `report.html` and `gallery.png` go.
        data: root of the scenes, which are written there where they are missing.
        images: number of scenes.
        split: of the scenes; the embedded models were trained on `prior` and `train`, their
            settings were chosen on `tune`.
        seed: of the refiner's noise.

    Returns:
        The content of `metrics.json`.
    """
    for _ in write_split(data, split, images):
        pass
    config = Config.fromfile(config_file)
    config.work_dir, config.load_from = str(folder), str(CHECKPOINT)
    config.model.refiner.seed = seed
    config.test_evaluator.report_dir = str(folder)
    dataset = config.test_dataloader.dataset
    dataset.data_root = str(data)
    dataset.data_prefix = dict(img_path=f'images/{split}', seg_map_path=f'labels/{split}')
    dataset.indices = images
    with redirect_stdout(StringIO()):  # 780 lines on environment, config and hooks; the log file in the folder has them
        runner = build_runner(config)
    runner.register_hook(_Progress())
    announce_settings(config)
    runner.test()
    report = json.loads((folder / 'metrics.json').read_text())
    drawn = [image for changes in ('gained_most', 'lost_most') for image in report[changes][:GALLERY_ROWS]]
    save_gallery(runner, drawn, folder / 'gallery.png')
    return report
