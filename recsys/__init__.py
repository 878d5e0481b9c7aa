"""What the services share: contract, settings, stores and ranking. Imports none of the services."""
