"""The server of Mixer: attributes in, handlers asked by rules, answers out."""
