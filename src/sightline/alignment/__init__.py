"""Where people say that a model should look, and training that makes it look there."""
