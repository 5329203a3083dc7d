"""A voice and LLM service: speech in, an answer out, spoken if wanted."""
