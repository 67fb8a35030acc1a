"""From a model that exists to a smaller one: open, read audio, cut, measure, pack."""
