"""Hidden catalogues and hidden tastes: what a graded service is never told."""
