"""The quickstart: a durable counter."""
