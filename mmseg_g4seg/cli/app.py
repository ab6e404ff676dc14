"""Opens a page in the browser, to try refinement on your own picture.

    g4seg app
    g4seg app --refiner mmseg_g4seg::_base_/refiners/g4seg_sd21.py --device cuda

Only this machine can reach the page, unless you set --host or --share. The command needs the extra `app`.
"""

import argparse
import os
import signal
import sys
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from tempfile import TemporaryDirectory
from typing import Any

from .interrupt import interruptible


def build_parser() -> argparse.ArgumentParser:
    """What the tool takes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        '--refiner',
        action='append',
        default=[],
        help='config file or folder of a prior, added to the refiners of the page; may be given several times',
    )
    parser.add_argument('--device', default='cpu', help="'cuda' for a GPU")
    parser.add_argument('--host', default='127.0.0.1', help='address to listen on; 0.0.0.0 lets the network in')
    parser.add_argument('--port', type=int, help='default: the first free port from 7860 on')
    parser.add_argument('--share', action='store_true', help="get a public address, through Gradio's servers")
    parser.add_argument('--open', action='store_true', help='open the browser')
    return parser


@interruptible()
def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; `argv` are its arguments, those of the process when not given."""
    args = build_parser().parse_args(argv)
    # what is stopped by a service manager must delete uploads, too
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    with TemporaryDirectory(prefix='g4seg_app_') as folder, ExitStack() as stack:
        # Gradio asks for it: uploads go where they are deleted with the process
        os.environ['GRADIO_TEMP_DIR'] = folder
        try:
            from mmseg_g4seg.hosts.web.page import serve
        except ImportError as error:
            if (error.name or '').split('.')[0] != 'gradio':
                raise
            print('error: the page needs Gradio: pip install "mmseg_g4seg[app]"', file=sys.stderr)
            return 1
        options: dict[str, Any] = dict(
            device=args.device, host=args.host, port=args.port, share=args.share, browser=args.open
        )
        try:
            address = stack.enter_context(serve(args.refiner, **options))
        except (OSError, ValueError, ImportError) as error:
            print(f'error: {error}', file=sys.stderr)
            return 1
        print(f'{address}  (Ctrl-C ends it)', flush=True)
        threading.Event().wait()
    return 0
