"""The notebook way, to be measured against: PySpark, lazily, question by question.

As the public pipelines for these records do it: infer the schema from the JSON, clean
with `regexp_replace` and casts, drop duplicates, join post by post, and run each
question from the start. Prints the seconds of the session's start, those of the work,
and the peak memory of the JVM in MiB. Called by `engines.py` with the landing.
"""

import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession, Window
from pyspark.sql import functions as F  # noqa: N812, as everybody names it

QUIET = Path(__file__).parents[1] / "log4j2.properties"
NO_DATA = [
    "No Title Data Available",
    "No description available Story format",
    "No description available",
    "User Info Error",
    "N,o, ,T,a,g,s, ,A,v,a,i,l,a,b,l,e",
    "Image src error.",
]


def clean_pins(pins: DataFrame) -> DataFrame:
    """Turn what means missing to null, and counts such as `6k` to numbers."""
    for name in pins.columns:
        column = F.col(name)
        is_missing = column.cast("string").isin(NO_DATA)
        pins = pins.withColumn(name, F.when(is_missing, None).otherwise(column))
    count = F.regexp_replace("follower_count", "k", "000")
    return (
        pins.withColumn("follower_count", F.regexp_replace(count, "M", "000000"))
        .withColumn("follower_count", F.expr("try_cast(follower_count as int)"))
        .withColumn(
            "save_location", F.regexp_replace("save_location", "Local save in ", "")
        )
        .withColumnRenamed("index", "ind")
        .dropDuplicates()
    )


def clean_geolocations(geolocations: DataFrame) -> DataFrame:
    """Put coordinates in a list, and read times."""
    return (
        geolocations.withColumn("coordinates", F.array("latitude", "longitude"))
        .drop("latitude", "longitude")
        .withColumn("timestamp", F.to_timestamp("timestamp"))
        .dropDuplicates()
    )


def clean_users(users: DataFrame) -> DataFrame:
    """Join names, and read dates."""
    return (
        users.withColumn("user_name", F.concat_ws(" ", "first_name", "last_name"))
        .drop("first_name", "last_name")
        .withColumn("date_joined", F.to_timestamp("date_joined"))
        .dropDuplicates()
    )


def top(frame: DataFrame, group: str, measure: str) -> DataFrame:
    """Keep the first row of each group."""
    window = Window.partitionBy(group).orderBy(F.desc(measure))
    return frame.withColumn("rank", F.row_number().over(window)).filter("rank = 1")


def answers(
    pins: DataFrame, geolocations: DataFrame, users: DataFrame
) -> Iterator[DataFrame]:
    """Ask the questions that the notebooks ask, one after the other."""
    posts = pins.join(geolocations, "ind").join(users, "ind")
    age_group = F.expr(
        "case when age between 18 and 24 then '18-24' "
        "when age between 25 and 35 then '25-35' "
        "when age between 36 and 50 then '36-50' when age > 50 then '50+' end"
    )
    grouped = posts.withColumn("age_group", age_group)
    joined = grouped.withColumn("join_year", F.year("date_joined"))
    dated = posts.withColumn("post_year", F.year("timestamp"))
    median = F.percentile_approx("follower_count", 0.5).alias("median_follower_count")
    count = F.count("*").alias("category_count")
    yield top(
        posts.groupBy("country", "category").agg(count), "country", "category_count"
    )
    yield dated.groupBy("post_year", "category").agg(count)
    yield top(
        dated.groupBy("post_year", "category").agg(count), "post_year", "category_count"
    )
    followers = posts.groupBy("country", "poster_name").agg(
        F.max("follower_count").alias("follower_count")
    )
    yield top(followers, "country", "follower_count")
    yield followers.orderBy(F.desc("follower_count")).limit(1)
    yield top(
        grouped.groupBy("age_group", "category").agg(count),
        *("age_group", "category_count"),
    )
    yield grouped.groupBy("age_group").agg(median)
    yield joined.groupBy("join_year").agg(F.count("user_name"))
    yield joined.groupBy("join_year").agg(median)
    yield joined.groupBy("join_year", "age_group").agg(median)


def peak(session: SparkSession) -> int:
    """Return the peak memory of the session's JVM in MiB; Linux only."""
    gateway = session.sparkContext._gateway  # noqa: SLF001
    if not gateway:
        return 0
    status = Path(f"/proc/{gateway.proc.pid}/status").read_text("utf-8")
    found = re.search(r"VmHWM:\s+(\d+)", status)
    return int(found[1]) // 1024 if found else 0


def main(landing: str) -> None:
    """Do it all and print three numbers."""
    started = time.monotonic()
    session = (
        SparkSession.builder.master("local[2]")
        .config("spark.driver.memory", "4g")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.extraJavaOptions", f"-Dlog4j2.configurationFile={QUIET}")
        .config("spark.ui.enabled", "false")
        .config("spark.ui.showConsoleProgress", "false")
        .config("spark.sql.session.timeZone", "UTC")
        .getOrCreate()
    )
    session.range(1).collect()
    ready = time.monotonic()
    pins, geolocations, users = (
        session.read.option("inferSchema", "true").json(
            f"{landing}/topics/*.{record_type}/*/*.json*"
        )
        for record_type in ("pin", "geo", "user")
    )
    for frame in answers(
        clean_pins(pins), clean_geolocations(geolocations), clean_users(users)
    ):
        frame.collect()
    done = time.monotonic()
    sys.stdout.write(f"{ready - started:.1f} {done - ready:.1f} {peak(session)}\n")


if __name__ == "__main__":
    main(sys.argv[1])
