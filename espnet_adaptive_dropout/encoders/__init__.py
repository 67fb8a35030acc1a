"""The adaptive and the compact encoder, and the loss of the model around them."""
