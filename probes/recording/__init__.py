"""Creates records: `watch` trains a specimen with hooks attached; `Recorder` is called from any
other training loop."""
