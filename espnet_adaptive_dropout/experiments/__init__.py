"""ESPnet experiments on disk: configs, checkpoints, data, sizes and result files."""
