"""THE SCENARIO FILES OF A PROJECT, read and talked about before anything runs.

files        which they are
lint         every mistake of every file
story        one of them told back, with its timeline drawn, and what its promises need to be judged
catalogue    all of them on a page
"""
