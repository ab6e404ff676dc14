# SAM alone, prompted by the coarse mask; a folder in place of the hub id, or a larger model: facebook/sam-vit-huge.
refiner = dict(type='SAMRefiner', model='facebook/sam-vit-base', prompts=['box', 'points', 'mask'])
