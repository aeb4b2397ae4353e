"""The paper's experiments as tasks, and what carries them out, here, in processes or on a cluster."""
