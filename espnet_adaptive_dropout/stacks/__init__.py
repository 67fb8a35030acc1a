"""What adaptive encoders and decoders have in common: gates, control, and the cut."""
