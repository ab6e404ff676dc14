"""`g4seg app`, for those who work in a clone."""

from mmseg_g4seg.cli.command import run

if __name__ == '__main__':
    raise SystemExit(run('app'))
