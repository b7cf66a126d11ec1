"""The replay viewer: a server that reads runs and shows them; it never writes episodes."""
