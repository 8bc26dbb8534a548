"""Training on several workers, one process a device."""
