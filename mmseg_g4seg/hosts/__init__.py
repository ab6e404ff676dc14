"""Where a refiner stands: one folder a host, all over the same `Refiner`, and later the same `CoarseSource`.

A host does four things, and nothing of the method:

1. it builds the refiner by `build_refiner(config)` and moves it to its device;
2. it fills a `ClassList` from what it knows (metainfo, a class file, a catalogue) and adds the refiner's own:
   `ClassList(names, palette=...).with_options(refiner.class_options)`;
3. it brings its library's images and scores to (3, H, W) pixels in [0, 1] and `Prediction`s, and calls
   `refiner.refine_stages(images, predictions, classes, keys=...)`, a key an image;
4. it gives the last stage back in its library's own form, and the stages to `evaluation`.

Hosts do not import each other, but for `arrays` and `folder`, which stand on no library.
"""
