"""The way of dead letters back to Kinesis."""

from typing import TYPE_CHECKING

from ingestion.dead_letters import Coordinates, DeadLetter
from ingestion.errors import StopError
from ingestion.kinesis import MakeClient, explain_kinesis
from ingestion.kinesis_source import KinesisCalls

if TYPE_CHECKING:
    from types_boto3_kinesis import KinesisClient


class KinesisReturn:
    """Puts each letter to the stream it came from, under the partition key it had."""

    def __init__(self, make_client: MakeClient) -> None:
        """Go back with clients of `make_client`; nothing is made yet."""
        self._make_client = make_client
        self._client: KinesisClient | None = None
        self._identities: dict[str, str] = {}

    def require(self, letter: DeadLetter) -> None:
        """Raise `StopError` where its stream is not the one that it came from."""
        if letter.source.startswith("kafka:"):
            raise StopError(
                f"{letter} came from {letter.source}: say --bootstrap, the brokers of "
                "that cluster."
            )
        stream = letter.partition.topic
        if stream not in self._identities:
            calls = KinesisCalls(self._make_client)
            self._identities[stream] = calls.stream(stream).identity
            calls.close()
        now = self._identities[stream]
        if letter.source != now:
            raise StopError(
                f"{letter} came from {letter.source}, and {stream} is {now} here: say "
                "the --region of that stream. If it was made anew there, nothing can "
                "go back to it."
            )

    def send(self, letter: DeadLetter) -> Coordinates:
        """Put it, and return shard and sequence number."""
        if self._client is None:
            self._client = self._make_client()
        with explain_kinesis(f"send back {letter}"):
            said = self._client.put_record(
                StreamName=letter.partition.topic,
                Data=letter.value or b"",
                PartitionKey=(letter.key or b"").decode(),
            )
        return Coordinates(said["ShardId"], said["SequenceNumber"])
