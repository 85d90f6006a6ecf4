"""What tests and studies share: small networks, faults to inject, logs to write."""
