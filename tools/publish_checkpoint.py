from mmseg_g4seg.cli.publish_checkpoint import main

if __name__ == '__main__':
    raise SystemExit(main())
