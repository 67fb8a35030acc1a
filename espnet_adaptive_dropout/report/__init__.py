"""Tables and figures of a training and its pruned model."""
