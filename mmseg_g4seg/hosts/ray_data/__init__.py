"""Ray Data: the room is empty yet.

What belongs here: a `ray.data.Dataset` in and out, with one refiner an actor, over the worker of
`mmseg_g4seg.hosts.folder`, which pickles without its refiner and is called once a mask. It fills the interface in
`mmseg_g4seg.hosts`.
"""
