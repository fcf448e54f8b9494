"""How the write-up is made: your words, artifacts/, answers.yaml and code become pages."""
