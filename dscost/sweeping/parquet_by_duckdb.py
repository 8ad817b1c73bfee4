"""Tables as a Parquet file, by duckdb."""
