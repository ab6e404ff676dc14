# SAM 2.1 alone, prompted by the coarse mask; needs transformers 4.56 or newer.
refiner = dict(type='SAMRefiner', model='facebook/sam2.1-hiera-small', prompts=['box', 'points', 'mask'])
