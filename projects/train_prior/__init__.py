"""Training of small latent diffusion priors on the user's own images, in diffusers layout."""
