"""The compact Transformer decoder, which keeps keys and values during a search."""
