"""Messages to tokens and back, for the templates of real tokenizers."""
