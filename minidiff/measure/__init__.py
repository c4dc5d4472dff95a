"""How good it is: distances and likelihoods, the features they are of, the cost of a net. Knows core, nets and data."""
