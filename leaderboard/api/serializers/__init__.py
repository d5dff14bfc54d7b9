"""What the API takes and shows. Times are UTC; scores are fractions of 1, null where the viewer may not see them."""
