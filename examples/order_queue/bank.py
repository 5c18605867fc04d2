"""The outside world of this example: a bank that is closed at times, and declines some cards."""


class Bank:
    """Attributes:
    is_open: Whether it answers at all.
    booked: What was taken, by order. Charging an order again takes nothing more.
    """

    def __init__(self) -> None:
        self.is_open = True
        self.booked: dict[str, float] = {}

    async def charge(self, order_id: str, card: str, amount: float) -> bool:
        """Take an amount once per order; False if the card is declined.

        Raises:
            ConnectionError: The bank does not answer.
        """
        if not self.is_open:
            raise ConnectionError("the bank does not answer")
        if card == "declined":
            return False
        self.booked[order_id] = amount
        return True


bank = Bank()
