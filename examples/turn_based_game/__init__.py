"""Tic-tac-toe between two people, who have a day for each move."""
