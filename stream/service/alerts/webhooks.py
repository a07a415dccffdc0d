"""Delivers alarms to web addresses: a signed POST for each."""

import base64
import hashlib
import hmac
import time
from typing import TYPE_CHECKING

from merau.stream.service.alerts.courier import DeliveryError
from merau.stream.service.alerts.queue import Delivery
from merau.stream.service.alerts.settings import WebhookConfig

if TYPE_CHECKING:
    import httpx


def sign(secret: str, key: str, timestamp: int, body: str) -> str:
    """Return the signature of a request, as the Standard Webhooks have it: "v1," and base64 of HMAC with SHA-256.

    Args:
        secret: Shared with the receiver.
        key: The alarm's idempotency key, sent as `webhook-id`.
        timestamp: Seconds since 1970, sent as `webhook-timestamp`.
        body: The JSON text.
    """
    signed = hmac.new(secret.encode(), f"{key}.{timestamp}.{body}".encode(), hashlib.sha256)
    return f"v1,{base64.b64encode(signed.digest()).decode()}"


class Webhook:
    """One address. It counts as told when it answers with a status of 200 to 299; redirections are not followed.

    Attributes:
        name: Name of the receiver in the queue.
        give_up_s: After this time an alarm is set aside.
    """

    def __init__(self, config: WebhookConfig) -> None:
        import httpx

        self._config = config
        self.name = f"webhook:{config.name}"
        self.give_up_s: float | None = 3600 * config.give_up_h
        self._client = httpx.Client(timeout=config.timeout_s)

    @property
    def is_ready(self) -> bool:
        """Whether a try makes sense; always true."""
        return True

    def deliver(self, delivery: Delivery) -> None:
        """Send one alarm. Raises DeliveryError when the address does not take it."""
        import httpx

        try:
            answer = self._send(delivery)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            reason = str(error) or type(error).__name__
            raise DeliveryError("{receiver} does not answer: {reason}", receiver=self.name, reason=reason) from error
        if not answer.is_success:
            raise DeliveryError("{receiver} answered {status}.", receiver=self.name, status=answer.status_code)

    def _send(self, delivery: Delivery) -> "httpx.Response":
        timestamp, secret = int(time.time()), self._config.secret.get_secret_value()
        headers = {
            "Content-Type": "application/json",
            "Idempotency-Key": delivery.key,
            "webhook-id": delivery.key,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": sign(secret, delivery.key, timestamp, delivery.body),
        }
        with self._client.stream("POST", self._config.url, content=delivery.body, headers=headers) as answer:
            return answer  # its body is not read

    def close(self) -> None:
        """Close the connections."""
        self._client.close()
