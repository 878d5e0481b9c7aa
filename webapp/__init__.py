"""The demo: a person likes and dislikes films and sees how the recommendations change."""
