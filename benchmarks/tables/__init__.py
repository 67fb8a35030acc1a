"""Tables and a plot of what a comparison has measured."""
