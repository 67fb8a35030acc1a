"""What ``bin.report`` shows of a training and its pruned model."""
