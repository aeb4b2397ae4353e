"""What the application saves: figures and tables as files, their names and columns.

``names`` says what a file is of, ``tables`` has its columns, ``figures`` draws it light and legible in a paper.
"""
