"""Everything that is kept outside a process. The only package that knows Redis, RabbitMQ, Qdrant or Parquet."""
