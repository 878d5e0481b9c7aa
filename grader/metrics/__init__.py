"""Every metric as a pure function of lists and of the hidden world."""
