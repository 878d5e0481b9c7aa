"""Serves recommendation lists from the published artifacts and the user's own state."""
