"""The model classes: the contract's vectors, and the real package as the judge of whatever Hypothesis thinks of."""
