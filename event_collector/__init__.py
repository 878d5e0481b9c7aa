"""Takes reactions over HTTP and answers once the broker holds them."""
