//! What the simulated medium keeps and what it may lose.
