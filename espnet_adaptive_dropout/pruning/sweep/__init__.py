"""One trained checkpoint at many sizes: cut, validate, decode, tabulate."""
