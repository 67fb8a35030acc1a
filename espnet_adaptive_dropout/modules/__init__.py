"""Tensors: the gate, and the gated and the compact form of each kind of layer."""
