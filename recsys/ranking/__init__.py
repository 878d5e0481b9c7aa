"""Pure ranking: arrays in, catalogue positions out. No client, clock, environment or global randomness."""
