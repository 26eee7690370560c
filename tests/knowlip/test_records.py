"""A table that reaches a workspace has its schema's columns, order and types, or is refused in one line."""

import pyarrow as pa
import pytest

from knowlip import records
from knowlip.errors import DataError

SCHEMAS = {name: value for name, value in vars(records).items() if isinstance(value, pa.Schema)}


def rows(schema: pa.Schema, **columns) -> pa.Table:
    """One row of nulls and empty strings, with some columns given."""
    empty = {"string": "", "binary": b"", "int32": 0, "double": 0.0, "bool": False}
    values = {field.name: [None if field.nullable else empty[str(field.type)]] for field in schema}
    return pa.table({name: columns.get(name, value) for name, value in values.items()})


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_column_says_what_it_is_and_round_trips(name, tmp_path):
    schema = SCHEMAS[name]
    assert name in records.__all__
    assert all(field.metadata[b"about"] for field in schema)
    table = records.conform(rows(schema), schema, where=name)
    assert table.schema.equals(schema)


def test_columns_come_in_the_schemas_order_and_type():
    table = rows(records.METRICS, metric=["loss"], value=pa.array([1], pa.int64()))
    conformed = records.conform(table.select(table.column_names[::-1]), records.METRICS, where="metrics")
    assert conformed.schema.equals(records.METRICS)
    assert conformed["value"].to_pylist() == [1.0]


def test_a_tables_own_metadata_is_kept():
    table = rows(records.METRICS, metric=["loss"]).replace_schema_metadata({"geo": "{}"})
    assert records.conform(table, records.METRICS, where="metrics").schema.metadata == {b"geo": b"{}"}


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (rows(records.METRICS, metric=["loss"]).drop_columns(["value"]), r"metrics: columns missing \['value'\]"),
        (rows(records.METRICS, metric=["loss"]).append_column("x", [[1]]), r"unknown \['x'\]"),
        (rows(records.METRICS, metric=["loss"], value=["much"]), "metrics: .*much"),
        (rows(records.METRICS, metric=pa.array([None], pa.string())), "metric"),
    ],
)
def test_what_does_not_fit_is_one_line(table, message):
    with pytest.raises(DataError, match=message) as caught:
        records.conform(table, records.METRICS, where="metrics")
    assert "\n" not in str(caught.value)


def test_the_eight_subtexts_are_columns_of_captions_and_corpus_in_order():
    assert len(records.SUBTEXTS) == 8
    for schema in (records.CAPTIONS, records.CORPUS):
        assert [name for name in schema.names if name in records.SUBTEXTS] == list(records.SUBTEXTS)


def test_rejected_tiles_have_the_tiles_columns_and_a_thumbnail_for_pictures():
    pictures, why = {"image", "view"}, {"thumbnail", "reason", "score", "threshold"}
    assert set(records.TILES.names) - pictures == set(records.REJECTED.names) - why
