"""The link to ESPnet: registries, hooks, and the options that a training lacks."""
