"""The commands; each is run as ``python -m espnet_adaptive_dropout.bin.<name>``."""
