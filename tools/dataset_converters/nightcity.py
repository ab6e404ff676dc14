from mmseg_g4seg.cli.convert_dataset import nightcity

if __name__ == '__main__':
    raise SystemExit(nightcity())
