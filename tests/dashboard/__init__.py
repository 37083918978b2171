"""Tests of the dashboard, and what they share: synthetic reports and a browser."""
