from counter import registry
from fastapi import FastAPI

app = FastAPI(lifespan=registry.lifespan)
app.mount("/api/rivet", registry.asgi(mode="serverless"))
