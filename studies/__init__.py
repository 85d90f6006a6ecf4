"""Studies that choose, measure and draw what the documentation reports (`python -m studies.NAME`).

Each study that fills a table of a page writes it itself when it is called with `--write`."""
