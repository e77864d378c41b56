"""Models that learn from a game: GAN, InfoGAN, WGAN-GP, StackGAN."""
