"""Does a running service keep the contract? Small checks over HTTP, each with the calls that reproduce its failure."""
