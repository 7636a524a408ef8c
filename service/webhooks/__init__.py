"""Webhook endpoints: who is told what becomes of jobs."""
