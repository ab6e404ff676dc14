"""Does refining panoptic segments gain more than filling void does?"""
