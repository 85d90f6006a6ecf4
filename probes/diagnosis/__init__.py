"""From a record to a diagnosis: the evidence, the detectors, the causes and how they are ranked."""
