"""Tells the browser to fetch nothing from elsewhere, whatever a library puts into the page."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

POLICY = "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; object-src 'none'; base-uri 'self'"
"""Gradio needs inline scripts and WebAssembly; pictures that are drawn in the page are `data:` and `blob:`."""

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class LocalOnly:
    """ASGI middleware that adds a Content-Security-Policy to every answer."""

    def __init__(self, app: Callable[[Message, Receive, Send], Awaitable[None]]) -> None:
        self.app = app

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        async def with_policy(message: Message) -> None:
            if message['type'] == 'http.response.start':
                policy = (b'content-security-policy', POLICY.encode())
                # other pages must not learn from the address where a picture was opened
                message['headers'] = [*message.get('headers', []), policy, (b'referrer-policy', b'no-referrer')]
            await send(message)

        await self.app(scope, receive, with_policy)
