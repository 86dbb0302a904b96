"""Training on Lightning: data, augmentation, losses, one task a network, export."""
