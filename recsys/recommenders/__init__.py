"""Recommenders: everything that can fill a list. Arrays in, catalogue positions out; no store, no clock, no settings.

``port`` says what a recommender is, ``registry`` finds one by name, ``mix`` fills a list from several.
"""
