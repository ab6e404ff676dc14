"""Detectron2: the room is empty yet.

What belongs here: a meta architecture that wraps a model and refines `sem_seg` and `panoptic_seg`, an evaluator over
`mmseg_g4seg.evaluation`, the config node, class names from `MetadataCatalog`. It fills the interface in
`mmseg_g4seg.hosts`.
"""
