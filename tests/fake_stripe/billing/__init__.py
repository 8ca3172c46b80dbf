"""What Stripe does by itself: periods, invoices, collection, prorations, schedules, and what falls due."""
