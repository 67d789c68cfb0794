"""Land a topic in S3 with Quix Streams' own sink, as benchmarks/landing.py asks.

It runs in an environment of its own: the library pins an older confluent-kafka.
usage: quix_landing.py BOOTSTRAP TOPIC RECORDS PER_OBJECT BUCKET
"""

import json
import logging
import sys
import time
from pathlib import Path

from quixstreams import Application
from quixstreams.sinks.community.file.formats import JSONFormat
from quixstreams.sinks.community.file.s3 import S3FileSink


def main(
    bootstrap: str, topic: str, records: str, per_object: str, bucket: str
) -> None:
    """Land so many records; print seconds and peak memory in KiB as JSON."""
    logging.disable()
    app = Application(
        broker_address=bootstrap,
        consumer_group=f"quix-{topic}-{time.time_ns()}",
        auto_offset_reset="earliest",
        auto_create_topics=False,
        commit_interval=3600,
        commit_every=int(per_object),
        use_changelog_topics=False,
    )
    sink = S3FileSink(bucket=bucket, directory="quix", format=JSONFormat())
    frame = app.dataframe(app.topic(topic, value_deserializer="json"))
    frame.sink(sink)
    begin, cpu = time.perf_counter(), time.process_time()
    app.run(count=int(records), timeout=60)
    seconds, spent = time.perf_counter() - begin, time.process_time() - cpu
    status = Path("/proc/self/status").read_text("ascii")
    peak = int(status.partition("VmHWM:")[2].split()[0])
    found = {"seconds": seconds, "cpu_seconds": spent, "peak_kib": peak}
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
