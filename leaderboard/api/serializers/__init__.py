"""Input and output of the API. Times are UTC; scores are fractions of 1, null where hidden from the viewer."""
