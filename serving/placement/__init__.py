"""Which kind of engine answers for whom: homes, fallbacks and moves between llama.cpp and vLLM."""
