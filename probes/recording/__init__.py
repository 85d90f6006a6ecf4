"""Makes records: hooks and reducers that watch a specimen, and a recorder for any other loop."""
