"""Policies behind a URL: any model that an OpenAI-compatible server offers."""
