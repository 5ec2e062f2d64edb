"""The callers' side: requests as servers hand them in, and the way back."""
