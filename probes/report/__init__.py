"""What is made of judged runs: the HTML page, JSON, Markdown, annotations."""
