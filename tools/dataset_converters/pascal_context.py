from mmseg_g4seg.cli.convert_dataset import pascal_context

if __name__ == '__main__':
    raise SystemExit(pascal_context())
