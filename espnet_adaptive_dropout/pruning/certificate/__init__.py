"""The certificate: the small model computes what the masked large one does."""
