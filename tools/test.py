from mmseg_g4seg.cli.test import main

if __name__ == '__main__':
    raise SystemExit(main())
