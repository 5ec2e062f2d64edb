"""The engines' side: connections to them, what is known of them, and who is left out because it fails."""
