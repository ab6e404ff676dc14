"""G4Seg's refiner. The way of an image and its prediction down to the denoiser, and back by the same files:

1. `hosts/mmseg/segmentor.py` recovers the image and reads the coarse prediction.
2. `refiners/base.py` takes the time.
3. `refiners/g4seg/refiner.py` selects classes, and merges what comes back.
4. `refiners/g4seg/updates/correspondence.py` is the rule: it lays classes out, matches and mixes.
5. `refiners/g4seg/reconstruction.py` noises the image and predicts it anew.
6. `diffusion/families/stable_diffusion.py` runs the U-Net under the layout.

`LikelihoodUpdate` has `updates/likelihood.py` and `noise_errors.py` for 4 and 5; a `Race` adds `race.py`. A folder
of masks has `hosts/folder/refine.py` for 1; its results go by `hosts/folder/run_state.py` to `io/atomic.py`. Null-text
inversion adds `diffusion/inversion.py`, and a chain `refiners/sequential.py`. `tests/hosts/test_way.py` traces this.

Beside the way: `encoding.py` holds images as latents, `layouts.py` where classes are, `questions.py` what a view is
asked about, `superpixels.py` regions that decide as one, `passes.py` words layouts as prompts and injection.
"""
