"""Customer service: facts by retrieval, orders by a tool, refusals by rule, and the words by a language model."""
