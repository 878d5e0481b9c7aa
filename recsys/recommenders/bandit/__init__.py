"""The recommender of this project: like rates drawn from their posterior, a taste folded in for each request.

``learner`` follows the log; ``counts`` and ``slates`` are what it keeps of it; ``posterior``, ``taste`` and
``exploration`` are what it makes of these; ``statistics`` is that as bytes; ``view`` ranks with it.
"""
