"""Actors beside ordinary routes: ``python -m examples.fastapi_app``, with ``rivetkit[fastapi]``.

The registry lives as long as the application (``lifespan``), clients reach the actors below ``/rivet``,
and the application's own routes call them through ``registry.client`` without a socket.
"""

from fastapi import FastAPI
from pydantic import BaseModel

from rivetkit import Actor, Registry, action, actor


class CartState(BaseModel):
    items: dict[str, int] = {}


@actor(name="cart", durability="strict")
class Cart(Actor):
    state: CartState

    @action
    def add(self, product: str, quantity: int = 1) -> dict[str, int]:
        self.state.items[product] = self.state.items.get(product, 0) + quantity
        return self.state.items

    @action
    def items(self) -> dict[str, int]:
        return self.state.items


registry = Registry(Cart)
app = FastAPI(title="Shop", lifespan=registry.lifespan)
app.mount("/rivet", registry.asgi())


@app.post("/carts/{user}/items/{product}")
async def add_to_cart(user: str, product: str, quantity: int = 1) -> dict[str, int]:
    cart = registry.client.get_or_create(Cart, user)
    return await cart.call(Cart.add, product, quantity)


@app.get("/carts/{user}")
async def show_cart(user: str) -> dict[str, int]:
    return await registry.client.get_or_create(Cart, user).call(Cart.items)
