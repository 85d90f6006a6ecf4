"""From the data of a panel to a chart: scales, marks, labels, and SVG by pygal."""
