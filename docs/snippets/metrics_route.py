from counter import registry
from fastapi import FastAPI
from fastapi.responses import PlainTextResponse

app = FastAPI(lifespan=registry.lifespan)
app.mount("/rivet", registry.asgi())


@app.get("/internal/metrics", response_class=PlainTextResponse)
async def metrics() -> str:
    return registry.metrics()
