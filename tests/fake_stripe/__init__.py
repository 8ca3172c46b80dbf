"""A stand-in for Stripe: a server that speaks its API to the real SDK, with pages for a browser; see README.md."""

#: What every answer is shaped by, and what the SDK is asked to send.
API_VERSION = "2026-05-27.dahlia"
