"""The outputs for judged runs: the HTML page, JSON, the Markdown summary and GitHub annotations."""
