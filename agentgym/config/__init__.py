"""From TOML files and `key=value` to one checked configuration, each value with its source."""
