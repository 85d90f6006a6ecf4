"""What is told of diagnosed runs beside the dashboard: data first, then what is written from it."""
