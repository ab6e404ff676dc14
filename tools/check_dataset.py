"""`g4seg check-dataset`, for those who work in a clone."""

from g4seg import run

if __name__ == '__main__':
    raise SystemExit(run('check-dataset'))
