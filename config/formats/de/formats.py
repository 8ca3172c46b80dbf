"""Where the product's dates differ from those that Django has for German: 1. Dezember 2026, 17:40."""

DATETIME_FORMAT = "j. F Y, H:i"
SHORT_DATETIME_FORMAT = "d.m.Y, H:i"
