"""Budgets and service levels of agents, as turns meet them."""
