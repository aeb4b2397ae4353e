"""What the application saves: figures and tables as files, their names and columns."""
