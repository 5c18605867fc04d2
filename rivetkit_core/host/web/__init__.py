"""What every host that serves HTTP needs: ASGI as plain data, CORS, and a server that ends in order."""
