from mmseg_g4seg.cli.convert_dataset import coco_object

if __name__ == '__main__':
    raise SystemExit(coco_object())
