"""Options of the tools that spread their work over processes and machines."""

import argparse


def add_process_options(parser: argparse.ArgumentParser) -> None:
    """Adds `--workers`, `--ray`, `--device` and `--threads`."""
    parser.add_argument('--workers', type=int, default=1, help='number of processes; not under torchrun')
    parser.add_argument(
        '--ray',
        nargs='?',
        const='local',
        metavar='ADDRESS',
        help='use a Ray cluster: without ADDRESS a new one on this machine, auto for the one that it belongs to',
    )
    parser.add_argument('--device', default='cpu', help="'cuda' for a GPU; under torchrun, one GPU per process")
    parser.add_argument(
        '--threads', type=int, default=1, help='CPU threads per process; another number changes the last bits'
    )
