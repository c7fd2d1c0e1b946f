"""Which product does this text mean? Semantic search over a catalogue of real products."""




