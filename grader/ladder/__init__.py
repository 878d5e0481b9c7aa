"""Recommenders to stand beside a graded service, from random lists to the best possible, run in process."""
