"""Episodes that a program from outside plays: it asks for the model by OpenAI's protocol."""
