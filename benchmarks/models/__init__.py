"""What is done with a single model: gates added, units removed, words recognised."""
