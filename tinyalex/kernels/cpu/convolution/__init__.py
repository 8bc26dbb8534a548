"""Convolution algorithms besides im2col, one a file, and the selection among them."""
