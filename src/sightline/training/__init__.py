"""Training and evaluating recognisers of drawings."""
