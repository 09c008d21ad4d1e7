"""One module a version of the key store's tables. What is here is never edited: stores of that form exist."""
