"""Open text."""


def passages(rng):
    raise NotImplementedError
