"""The networks: the video autoencoder and the diffusion transformer."""
