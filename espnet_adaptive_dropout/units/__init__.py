"""What can be removed, where it lies, what it costs, and which unit goes first."""
