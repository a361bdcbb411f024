"""What a network does beyond its accuracy: confusions, latent space, gradients, surfaces, toys."""
