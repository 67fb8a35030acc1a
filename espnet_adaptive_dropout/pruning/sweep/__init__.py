"""One checkpoint cut to many sizes: cuts, validation, decoding, table."""
