"""Drains the broker into the event log, keeps counts and user states, and publishes artifacts."""
