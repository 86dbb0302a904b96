"""Whether an installation is fit to diagnose: what is installed, what this computer can, and a test on a phantom."""
