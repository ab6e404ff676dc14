from mmseg_g4seg.cli.detectron2_test import main

if __name__ == '__main__':
    raise SystemExit(main())
