"""Small changes of a drawing that change the answer."""
