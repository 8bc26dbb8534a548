"""The convolution algorithms of the CPU."""
