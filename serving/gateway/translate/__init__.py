"""Other dialects in terms of OpenAI's chat completions, and back: pure functions and state machines."""
