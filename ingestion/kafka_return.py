"""The way of dead letters back to Kafka.

By the broker's own protocol, not by a REST proxy: that takes JSON only and writes it
anew, and what is replayed must be the bytes that were set aside, key and all.
"""

from collections.abc import Mapping
from typing import Final

from confluent_kafka import KafkaError, KafkaException, Message, Producer
from confluent_kafka.admin import AdminClient

from ingestion.dead_letters import Coordinates, DeadLetter
from ingestion.errors import RetryError, StopError
from ingestion.kafka_source import topic_identity
from ingestion.topics import explain_kafka

_SETTINGS: Final = {"acks": "all", "enable.idempotence": True, "log_level": 0}
_OVERHEAD_BYTES: Final = 64 << 10


def kafka_producer(
    bootstrap: str,
    settings: Mapping[str, str],
    max_record_bytes: int,
    timeout: float = 30.0,
) -> Producer:
    """Return a producer for `KafkaReturn`; `settings` are the user's, as for SASL."""
    named = {
        **settings,
        **_SETTINGS,
        "bootstrap.servers": bootstrap,
        "message.max.bytes": max_record_bytes + _OVERHEAD_BYTES,
        "message.timeout.ms": int(timeout * 1000),
    }
    try:
        return Producer(named)
    except (KafkaException, ValueError) as error:
        raise StopError(
            f"The Kafka client does not take these settings ({error}): correct "
            "--kafka-config or --bootstrap."
        ) from error


class KafkaReturn:
    """Produces each letter to the partition it came from, acknowledged by all ISRs."""

    def __init__(
        self, producer: Producer, admin: AdminClient, timeout: float = 30.0
    ) -> None:
        """Go back to the brokers that these clients know."""
        self._producer = producer
        self._admin = admin
        self._timeout = timeout
        self._identities: dict[str, str] = {}

    def require(self, letter: DeadLetter) -> None:
        """Raise `StopError` where its topic is not the one that it came from."""
        topic = letter.partition.topic
        if topic not in self._identities:
            self._identities[topic] = topic_identity(self._admin, topic, self._timeout)
        now = self._identities[topic]
        if letter.source != now:
            raise StopError(
                f"{letter} came from {letter.source}, and {topic} is {now} here: say "
                "the --bootstrap of that cluster. If the topic was made anew there, "
                "nothing can go back to it."
            )

    def send(self, letter: DeadLetter) -> Coordinates:
        """Produce it, wait for the acknowledgement, and return partition and offset."""
        reports: list[tuple[KafkaError | None, Message]] = []
        doing = f"send back {letter}"
        try:
            self._producer.produce(
                letter.partition.topic,
                letter.value,
                letter.key,
                partition=letter.partition.number,
                on_delivery=lambda *report: reports.append(report),
            )
            self._producer.flush(self._timeout + 1)
        except KafkaException as error:
            raise explain_kafka(error, doing) from error
        if not reports:
            raise RetryError(f"Cannot {doing}: no answer. Run the same command again.")
        ((failed, message),) = reports
        if failed is not None:
            raise explain_kafka(KafkaException(failed), doing)
        return Coordinates(str(message.partition()), str(message.offset()))
