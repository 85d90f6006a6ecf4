"""Turn the data of a panel into a chart: scales, marks, labels, and the SVG that pygal draws."""
