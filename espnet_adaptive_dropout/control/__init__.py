"""From a training step to the size: options, penalty, schedule and freeze."""
