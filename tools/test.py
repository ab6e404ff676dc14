"""Evaluates a model, its coarse and refined masks side by side. Takes mmseg's own arguments.

python tools/test.py CONFIG CHECKPOINT [--refiner configs/_base_/refiners/g4seg_tiny.py]
"""

import argparse
import os
from pathlib import Path

from mmengine.config import Config, DictAction
from mmengine.runner import Runner

import mmseg_g4seg  # noqa: F401  registers the package, and lets mmseg:: base configs resolve
from mmseg_g4seg.hosts.mmseg.checks.test_set import check_test_set
from mmseg_g4seg.hosts.mmseg.launch.label_ids import check_label_ids
from mmseg_g4seg.hosts.mmseg.launch.checkpoints import check_checkpoint
from mmseg_g4seg.hosts.mmseg.launch.config import (
    add_refiner,
    compare_stages,
    save_predictions,
    set_score_type,
    share_among_processes,
    show_predictions,
    use_tta,
    write_reports,
)
from mmseg_g4seg.hosts.mmseg.mmdetection import register_mmdetection


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', nargs='?', help='checkpoint of the plain model; none for saved scores')
    parser.add_argument('--refiner', help='config file with a refiner, for a config that has none')
    parser.add_argument('--score-type', help="what the model's scores are: logits, softmax, sigmoid, sum")
    parser.add_argument('--work-dir', help='folder for logs and metrics')
    parser.add_argument('--out', help='folder for predicted label maps')
    parser.add_argument('--show', action='store_true', help='show predictions in a window')
    parser.add_argument('--show-dir', help='folder for painted images')
    parser.add_argument('--wait-time', type=float, default=2, help='seconds between shown images')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, help='settings to override, key=value')
    parser.add_argument('--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none')
    parser.add_argument('--tta', action='store_true', help='test-time augmentation')
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0)
    args = parser.parse_args()
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    return args


def main() -> None:
    args = parse_args()
    config = Config.fromfile(args.config)
    if args.refiner:
        add_refiner(config, args.refiner)
    if args.score_type:
        set_score_type(config, args.score_type)
    if args.cfg_options:
        config.merge_from_dict(args.cfg_options)
    register_mmdetection(config.model)
    compare_stages(config)
    config.launcher = args.launcher
    share_among_processes(config)
    config.work_dir = args.work_dir or config.get('work_dir') or str(Path('work_dirs') / Path(args.config).stem)
    write_reports(config)
    config.load_from = args.checkpoint or config.get('load_from')
    if args.show or args.show_dir:
        show_predictions(config, show=args.show, show_dir=args.show_dir, wait_time=args.wait_time)
    if args.out:
        save_predictions(config, args.out)
    if args.tta:
        use_tta(config)
    check_test_set(config)
    check_label_ids(config)
    runner = Runner.from_cfg(config)
    check_checkpoint(runner.model, config.load_from)
    runner.test()


if __name__ == '__main__':
    main()
