"""What the API refuses."""


class RequestError(Exception):
    """A request that cannot be answered; `field` is the path of what is wrong, such as `filter.$and[1].year`."""

    def __init__(
        self, message: str, field: str | None = None, code: str = "invalid_request", status: int = 422
    ) -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        self.code = code
        self.status = status
