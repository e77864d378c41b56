"""Models with inferred latents and a bound on the likelihood: VAE, beta-VAE, GMM-VAE."""
