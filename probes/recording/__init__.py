"""Makes records: `watch` trains a specimen with hooks attached, `Recorder` serves any other
loop."""
