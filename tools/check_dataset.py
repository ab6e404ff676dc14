from mmseg_g4seg.cli.check_dataset import main

if __name__ == '__main__':
    raise SystemExit(main())
