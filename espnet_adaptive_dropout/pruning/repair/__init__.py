"""The repair: the layers that read removed units are solved again on real audio."""
