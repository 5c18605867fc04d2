from counter import Counter, registry
from fastapi import FastAPI

app = FastAPI(lifespan=registry.lifespan)  # opens the data directory, saves everything on shutdown
app.mount("/rivet", registry.asgi())  # Client("http://127.0.0.1:8000/rivet") reaches the actors


@app.post("/hits")
async def hit() -> int:
    return await registry.client.get_or_create(Counter, "hits").call(Counter.increment)  # no socket
