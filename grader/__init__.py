"""Scores any running recommender of the contract, given two URLs, and tells where its points went."""
