"""Trains, prunes and scores every row of the comparison on the recipe's data."""
