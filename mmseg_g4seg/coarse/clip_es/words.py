"""What CLIP-ES's authors call VOC's and COCO's classes, and the words that stand for the background."""

BACKGROUND_WORDS = (
    'ground', 'land', 'grass', 'tree', 'building', 'wall', 'sky', 'lake', 'water', 'river', 'sea', 'railway',
    'railroad', 'keyboard', 'helmet', 'cloud', 'house', 'mountain', 'ocean', 'road', 'rock', 'street', 'valley',
    'bridge', 'sign',
)  # fmt: skip
"""For VOC; for COCO, which has signs and keyboards, the authors leave out these two."""

PROMPT_NAMES = {
    'bird': 'bird avian',
    'chair': 'chair seat',
    'person': 'person with clothes,people,human',
    'tvmonitor': 'tvmonitor screen',
    'tv': 'tvmonitor screen',
    'backpack': 'backpack,bag',
    'umbrella': 'umbrella,parasol',
    'handbag': 'handbag,purse',
    'tie': 'necktie',
    'baseball glove': 'glove',
    'spoon': 'dessertspoon',
    'remote': 'remote control',
    'hair drier': 'hairdrier,blowdrier',
}
"""Names that CLIP takes for something else, and what the authors say in their place; other names stay."""
