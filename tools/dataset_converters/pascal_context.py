"""`g4seg convert-dataset pascal-context`, for those who work in a clone."""

from g4seg import run

if __name__ == '__main__':
    raise SystemExit(run('convert-dataset', function='pascal_context'))
