"""Amazon S3 on the laptop, over the wire with boto3, plain HTTP and the AWS CLI."""

import base64
import hashlib
import http.client
import io
import json
import os
import re
import shutil
import socket
import subprocess
import threading
import urllib.error
import urllib.parse
import urllib.request
import zlib
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from email.header import decode_header, make_header
from pathlib import Path
from typing import Any

import boto3
import pytest
from boto3.s3.transfer import TransferConfig
from botocore.client import Config
from botocore.exceptions import ClientError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from werkzeug.test import EnvironBuilder
from werkzeug.wrappers import Request

from local.auth import Keyring
from local.clients import Clients
from local.s3 import S3
from local.s3.conditions import read_range
from local.s3.post import Policy
from local.state import State
from local.wire import LOCAL_USER, AwsError, Service

MB = 1024 * 1024
ODD_KEYS = [
    "a b+c%20d&e=f;g.txt",
    "hash#and?question/50%.bin",
    "double//slash///end/",
    "up/../down/./here",
    "日本語/ñandú 🎬.mp4",
    "e\u0301 is not \u00e9",
    "quote'\"<tag>&amp;",
    "~tilde_under-dash.dot",
    "x" * 1024,
]
VERSIONED = {"VersioningConfiguration": {"Status": "Enabled"}}
EVENTS = {"NotificationConfiguration": {"EventBridgeConfiguration": {}}}


class Laptop:
    """A served S3, the events it sent and a client."""

    def __init__(self, state: State, keyring: Keyring, serve: Callable[[Mapping[str, Service]], Clients]) -> None:
        self.state = state
        self.events: list[dict[str, Any]] = []
        self.service = S3(state, keyring, self.events.append)
        self.clients = serve({"s3": self.service})
        self.endpoint = self.clients.endpoint
        self.client = self.clients.get("s3", None)

    def bucket(self, name: str = "drop", **properties: Any) -> str:
        self.service.ensure_bucket(name, properties)
        return name

    def body(self, key: str, **arguments: Any) -> bytes:
        body: bytes = self.client.get_object(Bucket="drop", Key=key, **arguments)["Body"].read()
        return body

    @property
    def files(self) -> list[Path]:
        return [path for path in (self.state.folder / "objects").rglob("*") if path.is_file()]

    def send(self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None) -> Any:
        """A request as a browser or curl makes it: the path goes out as it is."""
        connection = http.client.HTTPConnection(urllib.parse.urlsplit(self.endpoint).netloc, timeout=20)
        connection.request(method, path, body or None, headers or {})
        response = connection.getresponse()
        response.content = response.read()  # type: ignore[attr-defined]
        connection.close()
        return response


@pytest.fixture
def laptop(state: State, keyring: Keyring, serve: Callable[[Mapping[str, Service]], Clients]) -> Laptop:
    return Laptop(state, keyring, serve)


@pytest.fixture
def s3(laptop: Laptop) -> Any:
    laptop.bucket()
    return laptop.client


def refused(call: Callable[..., Any], **arguments: Any) -> tuple[str, int]:
    """The error's code and HTTP status."""
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    response = caught.value.response
    return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]


def keys(listed: dict[str, Any]) -> list[str]:
    return [each["Key"] for each in listed.get("Contents", [])]


# Objects


def test_an_object_comes_back_with_everything_it_was_stored_with(s3: Any) -> None:
    s3.put_object(
        Bucket="drop",
        Key="films/one.mp4",
        Body=b"frames",
        ContentType="video/mp4",
        CacheControl="max-age=60",
        ContentDisposition='attachment; filename="one.mp4"',
        ContentEncoding="gzip",
        ContentLanguage="fr",
        Metadata={"Taken-At": "2026"},
        Tagging="year=2026&place=the%20sea",
    )
    got = s3.get_object(Bucket="drop", Key="films/one.mp4")
    assert got["Body"].read() == b"frames"
    assert got["ETag"] == f'"{hashlib.md5(b"frames").hexdigest()}"'
    assert (got["ContentType"], got["CacheControl"], got["ContentEncoding"]) == ("video/mp4", "max-age=60", "gzip")
    assert (got["ContentDisposition"], got["ContentLanguage"]) == ('attachment; filename="one.mp4"', "fr")
    assert got["Metadata"] == {"taken-at": "2026"}
    assert got["TagCount"] == 2
    assert got["ChecksumCRC32"] == base64.b64encode(zlib.crc32(b"frames").to_bytes(4, "big")).decode()
    assert got["ServerSideEncryption"] == "AES256"
    assert "VersionId" not in got
    head = s3.head_object(Bucket="drop", Key="films/one.mp4")
    assert (head["ContentLength"], head["LastModified"]) == (6, got["LastModified"])


@pytest.mark.parametrize("key", ODD_KEYS)
def test_any_key_is_stored_listed_copied_and_deleted(s3: Any, key: str) -> None:
    s3.put_object(Bucket="drop", Key=key, Body=key.encode())
    assert s3.get_object(Bucket="drop", Key=key)["Body"].read() == key.encode()
    assert keys(s3.list_objects_v2(Bucket="drop")) == [key]
    assert keys(s3.list_objects(Bucket="drop")) == [key]
    s3.copy_object(Bucket="drop", Key="copy", CopySource={"Bucket": "drop", "Key": key})
    assert s3.get_object(Bucket="drop", Key="copy")["Body"].read() == key.encode()
    assert s3.delete_objects(Bucket="drop", Delete={"Objects": [{"Key": key}]})["Deleted"] == [{"Key": key}]
    assert keys(s3.list_objects_v2(Bucket="drop")) == ["copy"]


def test_a_key_of_more_than_1024_bytes_is_refused(s3: Any) -> None:
    assert refused(s3.put_object, Bucket="drop", Key="é" * 513, Body=b"") == ("KeyTooLongError", 400)


def test_no_file_is_named_after_a_key(laptop: Laptop, s3: Any) -> None:
    s3.put_object(Bucket="drop", Key="../../../escape", Body=b"x")
    (file,) = laptop.files
    assert re.fullmatch(r"[0-9a-f]{32}", file.name)
    assert file.read_bytes() == b"x"


def test_what_is_missing_is_said_as_s3_says_it(s3: Any) -> None:
    assert refused(s3.get_object, Bucket="drop", Key="none") == ("NoSuchKey", 404)
    assert refused(s3.head_object, Bucket="drop", Key="none") == ("404", 404)
    assert refused(s3.get_object, Bucket="nowhere", Key="none") == ("NoSuchBucket", 404)
    assert refused(s3.get_object, Bucket="drop", Key="none", VersionId="f" * 32) == ("NoSuchVersion", 404)
    assert refused(s3.list_objects_v2, Bucket="nowhere") == ("NoSuchBucket", 404)
    assert s3.delete_object(Bucket="drop", Key="none")["ResponseMetadata"]["HTTPStatusCode"] == 204


def test_what_is_not_offered_is_refused_by_name(s3: Any) -> None:
    with pytest.raises(ClientError, match=r"NotImplemented.*acl"):
        s3.get_object_acl(Bucket="drop", Key="x")
    assert refused(s3.get_bucket_policy, Bucket="drop") == ("NotImplemented", 501)
    assert refused(s3.put_object, Bucket="drop", Key="x", StorageClass="GLACIER") == ("NotImplemented", 501)
    assert refused(s3.put_object, Bucket="drop", Key="x", ACL="public-read") == ("AccessControlListNotSupported", 400)


def test_ranges_are_cut_out_of_the_object(laptop: Laptop, s3: Any) -> None:
    s3.put_object(Bucket="drop", Key="k", Body=b"0123456789")
    got = s3.get_object(Bucket="drop", Key="k", Range="bytes=2-4")
    assert (got["Body"].read(), got["ContentRange"]) == (b"234", "bytes 2-4/10")
    assert got["ResponseMetadata"]["HTTPStatusCode"] == 206
    assert laptop.body("k", Range="bytes=7-") == b"789"
    assert laptop.body("k", Range="bytes=-3") == b"789"
    assert laptop.body("k", Range="bytes=5-100") == b"56789"
    assert laptop.body("k", Range="bytes=0-1,3-4") == b"0123456789"
    assert refused(s3.get_object, Bucket="drop", Key="k", Range="bytes=10-") == ("InvalidRange", 416)
    assert s3.head_object(Bucket="drop", Key="k", Range="bytes=0-0")["ContentLength"] == 1


@given(size=st.integers(1, 30), first=st.integers(0, 29), last=st.integers(0, 60))
def test_a_range_is_a_slice(size: int, first: int, last: int) -> None:
    content = bytes(range(size))

    def cut(text: str) -> bytes:
        start, length = read_range(text, size) or (0, size)
        return content[start : start + length]

    if first < size:
        assert cut(f"bytes={first}-") == content[first:]
        assert cut(f"bytes={first}-{last}") == (content[first : last + 1] if last >= first else content)
    if last:
        assert cut(f"bytes=-{last}") == content[-last:]


def test_reads_are_conditional(s3: Any) -> None:
    etag = s3.put_object(Bucket="drop", Key="k", Body=b"one")["ETag"]
    later, earlier = datetime.now(UTC) + timedelta(hours=1), datetime.now(UTC) - timedelta(hours=1)
    ask = {"Bucket": "drop", "Key": "k"}
    assert refused(s3.get_object, **ask, IfNoneMatch=etag) == ("304", 304)
    assert refused(s3.head_object, **ask, IfModifiedSince=later) == ("304", 304)
    assert refused(s3.get_object, **ask, IfMatch='"other"') == ("PreconditionFailed", 412)
    assert refused(s3.get_object, **ask, IfUnmodifiedSince=earlier) == ("PreconditionFailed", 412)
    assert s3.get_object(**ask, IfMatch=etag, IfUnmodifiedSince=earlier)["Body"].read() == b"one"
    assert s3.get_object(**ask, IfNoneMatch='"other"')["Body"].read() == b"one"


def test_writes_are_conditional(laptop: Laptop, s3: Any) -> None:
    ask = {"Bucket": "drop", "Key": "k"}
    etag = s3.put_object(**ask, Body=b"one", IfNoneMatch="*")["ETag"]
    assert refused(s3.put_object, **ask, Body=b"two", IfNoneMatch="*") == ("PreconditionFailed", 412)
    assert refused(s3.put_object, **ask, Body=b"two", IfMatch='"other"') == ("PreconditionFailed", 412)
    assert refused(s3.put_object, Bucket="drop", Key="new", IfMatch=etag) == ("NoSuchKey", 404)
    s3.put_object(**ask, Body=b"two", IfMatch=etag)
    assert laptop.body("k") == b"two"
    assert refused(s3.delete_object, **ask, IfMatch=etag) == ("PreconditionFailed", 412)
    assert len(laptop.files) == 1


def test_only_one_of_many_concurrent_first_writes_wins(laptop: Laptop, s3: Any) -> None:
    outcomes: list[str] = []

    def write(number: int) -> None:
        try:
            s3.put_object(Bucket="drop", Key="k", Body=b"%d" % number, IfNoneMatch="*")
            outcomes.append("stored")
        except ClientError as error:
            outcomes.append(error.response["Error"]["Code"])

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["PreconditionFailed"] * 7 + ["stored"]
    assert len(laptop.files) == 1


def test_wrong_checksums_are_refused_and_leave_nothing(laptop: Laptop, s3: Any) -> None:
    wrong = {"CRC32": 4, "SHA1": 20, "SHA256": 32}
    for name, size in wrong.items():
        value = {f"Checksum{name}": base64.b64encode(b"\0" * size).decode()}
        assert refused(s3.put_object, Bucket="drop", Key="k", Body=b"x", **value) == ("BadDigest", 400)
    md5 = base64.b64encode(hashlib.md5(b"other").digest()).decode()
    assert refused(s3.put_object, Bucket="drop", Key="k", Body=b"x", ContentMD5=md5) == ("BadDigest", 400)
    assert refused(s3.put_object, Bucket="drop", Key="k", Body=b"x", ContentMD5="AAAA") == ("InvalidDigest", 400)
    assert refused(s3.put_object, Bucket="drop", Key="k", Body=b"x", ChecksumCRC32="AA==") == ("InvalidRequest", 400)
    assert refused(s3.get_object, Bucket="drop", Key="k") == ("NoSuchKey", 404)
    assert laptop.files == []


@pytest.mark.parametrize("algorithm", ["CRC32", "SHA1", "SHA256"])
def test_checksums_are_kept_and_shown(s3: Any, algorithm: str) -> None:
    put = s3.put_object(Bucket="drop", Key="k", Body=b"content", ChecksumAlgorithm=algorithm)
    name = f"Checksum{algorithm}"
    assert put[name]
    assert s3.head_object(Bucket="drop", Key="k", ChecksumMode="ENABLED")[name] == put[name]
    shown = s3.get_object_attributes(Bucket="drop", Key="k", ObjectAttributes=["Checksum", "ETag", "ObjectSize"])
    assert shown["Checksum"] == {name: put[name], "ChecksumType": "FULL_OBJECT"}
    assert (shown["ETag"], shown["ObjectSize"]) == (hashlib.md5(b"content").hexdigest(), 7)


def test_chunk_signed_bodies_are_unwrapped(laptop: Laptop, s3: Any) -> None:
    chunks = b"5;chunk-signature=" + b"a" * 64 + b"\r\nhello\r\n0;chunk-signature=" + b"b" * 64 + b"\r\n"
    crc = base64.b64encode(zlib.crc32(b"hello").to_bytes(4, "big"))
    trailers = b"x-amz-checksum-crc32:" + crc + b"\r\nx-amz-trailer-signature:" + b"c" * 64 + b"\r\n\r\n"
    headers = {"Content-Encoding": "aws-chunked", "x-amz-decoded-content-length": "5"}
    plain = headers | {"x-amz-content-sha256": "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"}
    assert laptop.send("PUT", "/drop/plain", chunks + b"\r\n", plain).status == 200
    trailing = headers | {
        "x-amz-content-sha256": "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
        "x-amz-trailer": "x-amz-checksum-crc32",
    }
    assert laptop.send("PUT", "/drop/trailing", chunks + trailers, trailing).status == 200
    bad = chunks + trailers.replace(crc, b"AAAAAA==")
    assert b"BadDigest" in laptop.send("PUT", "/drop/bad", bad, trailing).content
    assert b"IncompleteBody" in laptop.send("PUT", "/drop/bad", chunks[:-80], plain).content
    assert laptop.body("plain") == laptop.body("trailing") == b"hello"
    assert "ContentEncoding" not in s3.head_object(Bucket="drop", Key="plain")
    assert keys(s3.list_objects_v2(Bucket="drop")) == ["plain", "trailing"]


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(chunks=st.lists(st.binary(min_size=1, max_size=60), max_size=6))
def test_a_body_is_the_same_however_it_is_chunked(laptop: Laptop, chunks: list[bytes]) -> None:
    laptop.bucket()
    content = b"".join(chunks)
    wire = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
    headers = {
        "x-amz-content-sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        "x-amz-decoded-content-length": str(len(content)),
    }
    put = laptop.send("PUT", "/drop/chunked", wire, headers)
    assert (put.status, put.headers["ETag"]) == (200, f'"{hashlib.md5(content).hexdigest()}"')
    assert laptop.body("chunked") == content


def test_an_unseekable_body_streams(laptop: Laptop, s3: Any) -> None:
    class Pipe(io.RawIOBase):
        left = 3 * MB

        def readable(self) -> bool:
            return True

        def readinto(self, buffer: Any) -> int:
            size = min(len(buffer), self.left)
            buffer[:size] = b"z" * size
            self.left -= size
            return size

    with io.BufferedReader(Pipe()) as pipe:
        s3.upload_fileobj(pipe, "drop", "piped")
    assert laptop.body("piped") == b"z" * 3 * MB


def test_a_cut_off_upload_stores_nothing(laptop: Laptop, s3: Any) -> None:
    host, port = urllib.parse.urlsplit(laptop.endpoint).netloc.split(":")
    with socket.create_connection((host, int(port))) as cut:
        cut.sendall(b"PUT /drop/cut HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nonly this")
        cut.shutdown(socket.SHUT_WR)
        with cut.makefile("rb") as answer:
            assert b"IncompleteBody" in answer.read()
    assert refused(s3.head_object, Bucket="drop", Key="cut")[1] == 404
    assert laptop.files == []


def test_metadata_of_any_script_and_form_comes_back(laptop: Laptop, s3: Any) -> None:
    raw = "naïve 日本".encode().decode("latin1")
    word = "=?UTF-8?B?" + base64.b64encode("été".encode()).decode() + "?="
    assert laptop.send("PUT", "/drop/k", b"x", {"x-amz-meta-raw": raw, "x-amz-meta-word": word}).status == 200
    metadata = s3.head_object(Bucket="drop", Key="k")["Metadata"]
    assert {name: str(make_header(decode_header(value))) for name, value in metadata.items()} == {
        "raw": "naïve 日本",
        "word": "été",
    }
    assert refused(s3.put_object, Bucket="drop", Key="k", Metadata={"a": "x" * 2048}) == ("MetadataTooLarge", 400)


def test_metadata_names_keep_their_underscores(laptop: Laptop, s3: Any) -> None:
    environ = EnvironBuilder("/drop/k", method="PUT", data=b"x").get_environ()
    raw = [("Content-Length", "1"), ("x-amz-meta-taken_at", "2026")]
    request = Request(environ | {"REQUEST_URI": "/drop/k", "laptop.headers": raw})
    with laptop.service(request, LOCAL_USER) as response:
        assert response.status_code == 200
    request.close()
    assert s3.head_object(Bucket="drop", Key="k")["Metadata"] == {"taken_at": "2026"}


def test_a_copy_keeps_or_replaces_what_the_source_carried(s3: Any) -> None:
    s3.put_object(Bucket="drop", Key="a", Body=b"x", ContentType="text/plain", Metadata={"n": "1"}, Tagging="t=1")
    source = {"Bucket": "drop", "Key": "a"}
    result = s3.copy_object(Bucket="drop", Key="b", CopySource=source)["CopyObjectResult"]
    assert result["ETag"] == f'"{hashlib.md5(b"x").hexdigest()}"'
    kept = s3.head_object(Bucket="drop", Key="b")
    assert (kept["ContentType"], kept["Metadata"], kept["TagCount"]) == ("text/plain", {"n": "1"}, 1)
    s3.copy_object(Bucket="drop", Key="c", CopySource=source, MetadataDirective="REPLACE", Metadata={"m": "2"},
                   TaggingDirective="REPLACE", Tagging="")  # fmt: skip
    replaced = s3.head_object(Bucket="drop", Key="c")
    assert (replaced["ContentType"], replaced["Metadata"]) == ("binary/octet-stream", {"m": "2"})
    assert "TagCount" not in replaced
    assert refused(s3.copy_object, Bucket="drop", Key="a", CopySource=source) == ("InvalidRequest", 400)
    none = {"Bucket": "drop", "Key": "none"}
    assert refused(s3.copy_object, Bucket="drop", Key="b", CopySource=none) == ("NoSuchKey", 404)
    arguments = {"Bucket": "drop", "Key": "d", "CopySource": source, "CopySourceIfMatch": '"other"'}
    assert refused(s3.copy_object, **arguments) == ("PreconditionFailed", 412)


def test_tags_are_set_read_and_removed(laptop: Laptop) -> None:
    s3, bucket = laptop.client, laptop.bucket(**EVENTS)
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    tags = [{"Key": "année", "Value": "2026"}, {"Key": "b", "Value": ""}]
    s3.put_object_tagging(Bucket=bucket, Key="k", Tagging={"TagSet": tags})
    assert s3.get_object_tagging(Bucket=bucket, Key="k")["TagSet"] == tags
    s3.delete_object_tagging(Bucket=bucket, Key="k")
    assert s3.get_object_tagging(Bucket=bucket, Key="k")["TagSet"] == []
    types = [event["detail-type"] for event in laptop.events]
    assert types == ["Object Created", "Object Tags Added", "Object Tags Deleted"]
    assert "sequencer" not in laptop.events[1]["detail"]["object"]
    many = {"TagSet": [{"Key": str(n), "Value": ""} for n in range(11)]}
    assert refused(s3.put_object_tagging, Bucket=bucket, Key="k", Tagging=many) == ("BadRequest", 400)


# Buckets


def test_buckets_are_made_listed_and_removed(laptop: Laptop) -> None:
    s3 = laptop.client
    s3.create_bucket(Bucket="one")
    s3.create_bucket(Bucket="one")
    s3.create_bucket(Bucket="two", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    assert [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]] == ["one", "two"]
    assert s3.get_bucket_location(Bucket="one")["LocationConstraint"] is None
    assert s3.get_bucket_location(Bucket="two")["LocationConstraint"] == "eu-west-1"
    assert s3.head_bucket(Bucket="two")["BucketRegion"] == "eu-west-1"
    s3.put_object(Bucket="one", Key="k", Body=b"")
    assert refused(s3.delete_bucket, Bucket="one") == ("BucketNotEmpty", 409)
    s3.delete_bucket(Bucket="two")
    assert refused(s3.head_bucket, Bucket="two") == ("404", 404)
    assert laptop.send("PUT", "/Not_A_Name").status == 400


def test_a_template_s_bucket_keeps_its_content_and_what_was_changed_by_hand(laptop: Laptop) -> None:
    s3, bucket = laptop.client, laptop.bucket(**EVENTS)
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    laptop.bucket(**EVENTS)
    assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"
    laptop.bucket()
    assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Suspended"
    assert "EventBridgeConfiguration" not in s3.get_bucket_notification_configuration(Bucket=bucket)
    assert keys(s3.list_objects_v2(Bucket=bucket)) == ["k"]
    with pytest.raises(ValueError, match="ReplicationConfiguration"):
        laptop.bucket(ReplicationConfiguration={})


def test_notifications_go_to_eventbridge_only(laptop: Laptop) -> None:
    s3, bucket = laptop.client, laptop.bucket()
    s3.put_object(Bucket=bucket, Key="k", Body=b"")
    assert laptop.events == []
    s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration={"EventBridgeConfiguration": {}})
    assert s3.get_bucket_notification_configuration(Bucket=bucket)["EventBridgeConfiguration"] == {}
    s3.put_object(Bucket=bucket, Key="k", Body=b"")
    assert len(laptop.events) == 1
    queue = {"QueueConfigurations": [{"QueueArn": "arn:aws:sqs:us-east-1:000000000000:q", "Events": ["s3:*"]}]}
    asked = {"Bucket": bucket, "NotificationConfiguration": queue}
    assert refused(s3.put_bucket_notification_configuration, **asked) == ("NotImplemented", 501)


def test_a_page_of_an_allowed_origin_may_read_and_upload(laptop: Laptop) -> None:
    rule = {
        "AllowedMethods": ["GET", "PUT"],
        "AllowedOrigins": ["https://*.example.com"],
        "AllowedHeaders": ["content-*", "x-amz-*"],
        "ExposedHeaders": ["ETag"],
        "MaxAge": 300,
    }
    laptop.bucket(CorsConfiguration={"CorsRules": [rule]})
    ask = {"Origin": "https://app.example.com", "Access-Control-Request-Method": "PUT"}
    allowed = laptop.send("OPTIONS", "/drop/k", headers=ask | {"Access-Control-Request-Headers": "Content-Type"})
    assert (allowed.status, allowed.headers["Access-Control-Allow-Origin"]) == (200, "https://app.example.com")
    assert allowed.headers["Access-Control-Allow-Headers"] == "content-type"
    assert allowed.headers["Access-Control-Max-Age"] == "300"
    assert laptop.send("OPTIONS", "/drop/k", headers=ask | {"Origin": "https://evil.com"}).status == 403
    assert laptop.send("OPTIONS", "/drop/k", headers=ask | {"Access-Control-Request-Headers": "cookie"}).status == 403
    missing = laptop.send("GET", "/drop/none", headers={"Origin": "https://app.example.com"})
    assert (missing.status, missing.headers["Access-Control-Expose-Headers"]) == (404, "ETag")


def test_the_bucket_may_be_in_the_host_name(laptop: Laptop, s3: Any) -> None:
    for host in ("drop.localhost:4566", "drop.s3.localhost:4566", "drop.s3.us-east-1.amazonaws.com"):
        assert laptop.send("PUT", "/a%20b/c", b"x", {"Host": host}).status == 200
        assert laptop.send("GET", "/a%20b/c", headers={"Host": host}).content == b"x"
    assert keys(s3.list_objects_v2(Bucket="drop")) == ["a b/c"]
    assert b"<Name>drop</Name>" in laptop.send("GET", "/", headers={"Host": "s3.localhost:4566"}).content


# Versions and events


def test_versions_and_delete_markers_follow_s3(laptop: Laptop) -> None:
    s3, bucket = laptop.client, laptop.bucket(**VERSIONED)
    ask = {"Bucket": bucket, "Key": "k"}
    first = s3.put_object(**ask, Body=b"one")["VersionId"]
    second = s3.put_object(**ask, Body=b"two")["VersionId"]
    assert laptop.body("k") == b"two"
    assert laptop.body("k", VersionId=first) == b"one"
    deleted = s3.delete_object(**ask)
    marker = deleted["VersionId"]
    assert deleted["DeleteMarker"] is True
    head = laptop.send("HEAD", "/drop/k")
    assert (head.status, head.headers["x-amz-delete-marker"]) == (404, "true")
    assert laptop.send("HEAD", f"/drop/k?versionId={marker}").status == 405
    assert refused(s3.get_object, **ask, VersionId=marker) == ("MethodNotAllowed", 405)
    assert keys(s3.list_objects_v2(Bucket=bucket)) == []
    listed = s3.list_object_versions(Bucket=bucket)
    assert [(each["VersionId"], each["IsLatest"]) for each in listed["Versions"]] == [(second, False), (first, False)]
    assert [(each["VersionId"], each["IsLatest"]) for each in listed["DeleteMarkers"]] == [(marker, True)]
    assert s3.delete_object(**ask, VersionId=marker)["DeleteMarker"] is True
    assert laptop.body("k") == b"two"
    s3.delete_object(**ask, VersionId=second)
    assert laptop.body("k") == b"one"


def test_a_suspended_bucket_has_one_null_version(laptop: Laptop) -> None:
    s3, bucket = laptop.client, laptop.bucket()
    ask = {"Bucket": bucket, "Key": "k"}
    s3.put_object(**ask, Body=b"before")
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    kept = s3.put_object(**ask, Body=b"kept")["VersionId"]
    assert laptop.body("k", VersionId="null") == b"before"
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Suspended"})
    assert s3.put_object(**ask, Body=b"after")["VersionId"] == "null"
    assert laptop.body("k", VersionId="null") == b"after"
    assert s3.delete_object(**ask)["VersionId"] == "null"
    versions = s3.list_object_versions(Bucket=bucket)
    assert [each["VersionId"] for each in versions["Versions"]] == [kept]
    assert len(laptop.files) == 1


def test_every_change_is_one_event_in_the_documented_shape(laptop: Laptop) -> None:
    s3, bucket = laptop.client, laptop.bucket(**VERSIONED, **EVENTS)
    key = "media/a b+%é.mp4"
    version = s3.put_object(Bucket=bucket, Key=key, Body=b"12345")["VersionId"]
    (event,) = laptop.events
    detail = event["detail"]
    assert re.fullmatch(r"[0-9a-f-]{36}", event.pop("id"))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", event.pop("time"))
    sequencer = detail["object"].pop("sequencer")
    assert re.fullmatch(r"[0-9A-F]+", sequencer)
    assert re.fullmatch(r"[0-9A-F]{16}", detail.pop("request-id"))
    etag = hashlib.md5(b"12345").hexdigest()
    assert event == {
        "version": "0",
        "detail-type": "Object Created",
        "source": "aws.s3",
        "account": "000000000000",
        "region": "us-east-1",
        "resources": ["arn:aws:s3:::drop"],
        "detail": {
            "version": "0",
            "bucket": {"name": "drop"},
            "object": {"key": key, "size": 5, "etag": etag, "version-id": version},
            "requester": "000000000000",
            "source-ip-address": "127.0.0.1",
            "reason": "PutObject",
        },
    }
    marker = s3.delete_object(Bucket=bucket, Key=key)["VersionId"]
    s3.delete_object(Bucket=bucket, Key=key, VersionId=marker)
    s3.delete_object(Bucket=bucket, Key=key, VersionId=version)
    s3.delete_object(Bucket=bucket, Key=key, VersionId=version)
    deletions = [event["detail"] for event in laptop.events[1:]]
    assert [each["deletion-type"] for each in deletions] == ["Delete Marker Created"] + ["Permanently Deleted"] * 2
    assert [each["object"]["version-id"] for each in deletions] == [marker, marker, version]
    assert ["etag" in each["object"] for each in deletions] == [True, True, False]
    assert {each["reason"] for each in deletions} == {"DeleteObject"}
    assert not any("size" in each["object"] for each in deletions)
    sequencers = [sequencer, *(each["object"]["sequencer"] for each in deletions)]
    assert sequencers == sorted(set(sequencers))


def test_an_event_that_cannot_be_sent_undoes_the_change(
    state: State, keyring: Keyring, serve: Callable[[Mapping[str, Service]], Clients]
) -> None:
    def full(event: dict[str, Any]) -> None:
        raise RuntimeError("the bus is down")

    service = S3(state, keyring, full)
    service.ensure_bucket("drop", EVENTS)
    s3 = serve({"s3": service}).get("s3", None)
    assert refused(s3.put_object, Bucket="drop", Key="k", Body=b"x") == ("InternalError", 500)
    assert keys(s3.list_objects_v2(Bucket="drop")) == []
    assert not [path for path in (state.folder / "objects").rglob("*") if path.is_file()]


def test_the_reason_of_an_event_names_the_operation(laptop: Laptop, signer: Any) -> None:
    s3, bucket = laptop.client, laptop.bucket(**EVENTS)
    s3.put_object(Bucket=bucket, Key="a", Body=b"x")
    s3.copy_object(Bucket=bucket, Key="b", CopySource={"Bucket": bucket, "Key": "a"})
    upload = s3.create_multipart_upload(Bucket=bucket, Key="c")["UploadId"]
    part = s3.upload_part(Bucket=bucket, Key="c", UploadId=upload, PartNumber=1, Body=b"x")["ETag"]
    parts = {"Parts": [{"PartNumber": 1, "ETag": part}]}
    s3.complete_multipart_upload(Bucket=bucket, Key="c", UploadId=upload, MultipartUpload=parts)
    post(signer.generate_presigned_post(bucket, "d"), b"x")
    s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "a"}, {"Key": "none"}]})
    reasons = [event["detail"]["reason"] for event in laptop.events]
    assert reasons == ["PutObject", "CopyObject", "CompleteMultipartUpload", "POST Object", "DeleteObject"]
    assert laptop.events[-1]["detail"]["deletion-type"] == "Permanently Deleted"


# Lists


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    names=st.sets(st.text("ab/é\U0001f3ac %", min_size=1, max_size=5), max_size=14),
    prefix=st.text("ab/é", max_size=2),
    delimiter=st.sampled_from(["", "/", "a", "b/"]),
    page=st.integers(1, 4),
)
def test_lists_equal_brute_force_whatever_the_page(
    laptop: Laptop, names: set[str], prefix: str, delimiter: str, page: int
) -> None:
    bucket = laptop.bucket("listed")
    s3 = laptop.client
    kept = keys(s3.list_objects_v2(Bucket=bucket))
    for stale in kept:
        s3.delete_object(Bucket=bucket, Key=stale)
    for name in names:
        s3.put_object(Bucket=bucket, Key=name, Body=b"")
    expected_keys, expected_prefixes = [], []
    for name in sorted((name for name in names if name.startswith(prefix)), key=str.encode):
        at = name.find(delimiter, len(prefix)) if delimiter else -1
        common = name[: at + len(delimiter)] if at >= 0 else None
        if common is None:
            expected_keys.append(name)
        elif common not in expected_prefixes:
            expected_prefixes.append(common)
    for operation in ("list_objects_v2", "list_objects"):
        pages = list(
            s3.get_paginator(operation).paginate(
                Bucket=bucket, Prefix=prefix, Delimiter=delimiter, PaginationConfig={"PageSize": page}
            )
        )
        assert [key for each in pages for key in keys(each)] == expected_keys
        assert [p["Prefix"] for each in pages for p in each.get("CommonPrefixes", [])] == expected_prefixes
        assert all(len(each.get("Contents", [])) + len(each.get("CommonPrefixes", [])) <= page for each in pages)
        assert len(pages) == max(1, -(-(len(expected_keys) + len(expected_prefixes)) // page))


def test_versions_are_listed_page_by_page_newest_first(laptop: Laptop) -> None:
    s3, bucket = laptop.client, laptop.bucket(**VERSIONED)
    made = {key: [s3.put_object(Bucket=bucket, Key=key, Body=b"")["VersionId"] for _ in range(3)] for key in "ab"}
    pages = s3.get_paginator("list_object_versions").paginate(Bucket=bucket, PaginationConfig={"PageSize": 2})
    listed = [(each["Key"], each["VersionId"]) for page in pages for each in page["Versions"]]
    assert listed == [(key, version) for key in "ab" for version in reversed(made[key])]


def test_a_list_may_start_anywhere_and_stop_at_nothing(s3: Any) -> None:
    for key in ("a", "b", "c"):
        s3.put_object(Bucket="drop", Key=key, Body=b"")
    assert keys(s3.list_objects_v2(Bucket="drop", StartAfter="a")) == ["b", "c"]
    assert s3.list_objects_v2(Bucket="drop", MaxKeys=0)["IsTruncated"] is False
    assert s3.list_objects_v2(Bucket="drop", FetchOwner=True)["Contents"][0]["Owner"]["DisplayName"] == "local"
    for token in ("?", base64.b64encode(b"[" * 1500).decode()):
        assert refused(s3.list_objects_v2, Bucket="drop", ContinuationToken=token) == ("InvalidArgument", 400)


def test_lists_and_reads_of_objects_are_index_lookups(laptop: Laptop) -> None:
    with laptop.state.transaction() as db:
        plans = [
            db.execute(f"EXPLAIN QUERY PLAN SELECT * FROM s3_versions WHERE bucket = 'b' AND {condition}").fetchall()
            for condition in (
                "(key, age) > ('k', 0) AND key < 'z' AND latest = 1 AND marker = 0 ORDER BY key, age",
                "(key, age) > ('k', 0) AND key < 'z' ORDER BY key, age",
                "key = 'k' ORDER BY age LIMIT 1",
                "key = 'k' AND version = 'v'",
            )
        ]
    assert [len(plan) for plan in plans] == [1] * 4
    assert all("USING INDEX" in plan[0]["detail"] for plan in plans)


# Multipart


def test_parts_become_one_object(laptop: Laptop, s3: Any) -> None:
    ask = {"Bucket": "drop", "Key": "big"}
    upload = s3.create_multipart_upload(**ask, ContentType="video/mp4", Metadata={"n": "1"}, Tagging="t=1")["UploadId"]
    contents = [b"a" * 5 * MB, b"b" * 5 * MB, b"c"]
    etags = [
        s3.upload_part(**ask, UploadId=upload, PartNumber=number, Body=content)["ETag"]
        for number, content in zip((1, 3, 7), contents, strict=True)
    ]
    assert [each["UploadId"] for each in s3.list_multipart_uploads(Bucket="drop")["Uploads"]] == [upload]
    listed = s3.list_parts(**ask, UploadId=upload, MaxParts=2)
    assert [(part["PartNumber"], part["Size"]) for part in listed["Parts"]] == [(1, 5 * MB), (3, 5 * MB)]
    assert (listed["IsTruncated"], listed["NextPartNumberMarker"]) == (True, 3)
    assert refused(s3.head_object, **ask)[1] == 404
    parts = [{"PartNumber": number, "ETag": etag} for number, etag in zip((1, 3, 7), etags, strict=True)]
    done = s3.complete_multipart_upload(**ask, UploadId=upload, MultipartUpload={"Parts": parts})
    digest = hashlib.md5(b"".join(hashlib.md5(content).digest() for content in contents)).hexdigest()
    assert done["ETag"] == f'"{digest}-3"'
    assert laptop.body("big") == b"".join(contents)
    second = s3.get_object(**ask, PartNumber=2)
    assert (second["Body"].read(), second["PartsCount"]) == (contents[1], 3)
    head = s3.head_object(**ask)
    assert (head["ContentType"], head["Metadata"], head["TagCount"]) == ("video/mp4", {"n": "1"}, 1)
    assert refused(s3.list_parts, **ask, UploadId=upload) == ("NoSuchUpload", 404)
    assert len(laptop.files) == 1


def test_a_wrong_completion_is_refused_and_an_aborted_upload_leaves_nothing(laptop: Laptop, s3: Any) -> None:
    ask = {"Bucket": "drop", "Key": "k"}
    upload = s3.create_multipart_upload(**ask)["UploadId"]
    etags = [s3.upload_part(**ask, UploadId=upload, PartNumber=n, Body=b"%d" % n)["ETag"] for n in (1, 2)]

    def complete(*parts: tuple[int, str]) -> tuple[str, int]:
        listed = {"Parts": [{"PartNumber": number, "ETag": etag} for number, etag in parts]}
        return refused(s3.complete_multipart_upload, **ask, UploadId=upload, MultipartUpload=listed)

    assert complete((1, etags[0]), (2, etags[1])) == ("EntityTooSmall", 400)
    assert complete((2, etags[1]), (1, etags[0])) == ("InvalidPartOrder", 400)
    assert complete((1, etags[1])) == ("InvalidPart", 400)
    assert complete((3, etags[1])) == ("InvalidPart", 400)
    assert refused(s3.upload_part, **ask, UploadId=upload, PartNumber=10_001)[0] == "InvalidArgument"
    assert refused(s3.delete_bucket, Bucket="drop")[0] == "BucketNotEmpty"
    s3.abort_multipart_upload(**ask, UploadId=upload)
    assert refused(s3.upload_part, **ask, UploadId=upload, PartNumber=1)[0] == "NoSuchUpload"
    assert laptop.files == []


def test_parts_may_be_copied_from_objects(laptop: Laptop, s3: Any) -> None:
    s3.put_object(Bucket="drop", Key="source é", Body=b"0123456789" * MB)
    ask = {"Bucket": "drop", "Key": "joined"}
    upload = s3.create_multipart_upload(**ask)["UploadId"]
    source = {"Bucket": "drop", "Key": "source é"}
    spans = [f"bytes=0-{5 * MB - 1}", "bytes=5-7"]
    parts = [
        {
            "PartNumber": number,
            "ETag": s3.upload_part_copy(
                **ask, UploadId=upload, PartNumber=number, CopySource=source, CopySourceRange=span
            )["CopyPartResult"]["ETag"],
        }
        for number, span in enumerate(spans, start=1)
    ]
    s3.complete_multipart_upload(**ask, UploadId=upload, MultipartUpload={"Parts": parts})
    assert laptop.body("joined") == (b"0123456789" * MB)[: 5 * MB] + b"567"


def test_a_transfer_in_parts_carries_its_checksum(s3: Any, tmp_path: Path) -> None:
    content = os.urandom(11 * MB)
    config = TransferConfig(multipart_threshold=5 * MB, multipart_chunksize=5 * MB)
    s3.upload_fileobj(io.BytesIO(content), "drop", "moved", Config=config)
    s3.download_file("drop", "moved", str(tmp_path / "moved"), Config=config)
    assert (tmp_path / "moved").read_bytes() == content
    checksum = s3.head_object(Bucket="drop", Key="moved", ChecksumMode="ENABLED")
    crcs = b"".join(zlib.crc32(content[at : at + 5 * MB]).to_bytes(4, "big") for at in range(0, 11 * MB, 5 * MB))
    assert checksum["ChecksumCRC32"] == base64.b64encode(zlib.crc32(crcs).to_bytes(4, "big")).decode() + "-3"
    assert checksum["ChecksumType"] == "COMPOSITE"
    shown = s3.get_object_attributes(Bucket="drop", Key="moved", ObjectAttributes=["ObjectParts"])["ObjectParts"]
    assert (shown["TotalPartsCount"], [part["Size"] for part in shown["Parts"]]) == (3, [5 * MB, 5 * MB, MB])


def test_a_full_object_checksum_is_computed_over_the_whole(s3: Any) -> None:
    ask = {"Bucket": "drop", "Key": "k"}
    created = s3.create_multipart_upload(**ask, ChecksumAlgorithm="CRC32", ChecksumType="FULL_OBJECT")
    upload = created["UploadId"]
    contents = [b"a" * 5 * MB, b"b"]
    parts = [
        {"PartNumber": number, "ETag": s3.upload_part(**ask, UploadId=upload, PartNumber=number, Body=body,
                                                      ChecksumAlgorithm="CRC32")["ETag"]}
        for number, body in enumerate(contents, start=1)
    ]  # fmt: skip
    done = s3.complete_multipart_upload(**ask, UploadId=upload, MultipartUpload={"Parts": parts})
    crc = zlib.crc32(b"".join(contents)).to_bytes(4, "big")
    assert (done["ChecksumCRC32"], done["ChecksumType"]) == (base64.b64encode(crc).decode(), "FULL_OBJECT")


def test_of_two_versions_the_one_that_began_later_is_current(laptop: Laptop) -> None:
    s3, bucket = laptop.client, laptop.bucket(**VERSIONED)
    ask = {"Bucket": bucket, "Key": "k"}
    upload = s3.create_multipart_upload(**ask)["UploadId"]
    etag = s3.upload_part(**ask, UploadId=upload, PartNumber=1, Body=b"began first")["ETag"]
    s3.put_object(**ask, Body=b"began second")
    parts = {"Parts": [{"PartNumber": 1, "ETag": etag}]}
    version = s3.complete_multipart_upload(**ask, UploadId=upload, MultipartUpload=parts)["VersionId"]
    assert laptop.body("k") == b"began second"
    assert laptop.body("k", VersionId=version) == b"began first"


# Presigned


@pytest.fixture
def signer(laptop: Laptop) -> Iterator[Any]:
    laptop.bucket()
    client = boto3.session.Session().client(
        "s3", endpoint_url=laptop.endpoint, region_name="us-east-1", aws_access_key_id="local",
        aws_secret_access_key="local", config=Config(signature_version="s3v4"),
    )  # fmt: skip
    yield client
    client.close()


def fetch(url: str, method: str = "GET", body: bytes | None = None, headers: dict[str, str] | None = None) -> Any:
    request = urllib.request.Request(url, data=body, method=method, headers=headers or {})
    try:
        with urllib.request.urlopen(request, timeout=20) as response:
            return response.status, dict(response.headers), response.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, dict(error.headers), error.read()


def test_presigned_urls_read_and_write(signer: Any) -> None:
    ask = {"Bucket": "drop", "Key": "a b/é+.txt"}
    put = signer.generate_presigned_url("put_object", Params=ask | {"ContentType": "text/plain"})
    assert fetch(put, "PUT", b"signed", {"Content-Type": "text/plain"})[0] == 200
    overrides = {
        "ResponseContentType": "image/png",
        "ResponseContentDisposition": 'inline; filename="x y.png"',
        "ResponseCacheControl": "no-store",
    }
    status, headers, body = fetch(signer.generate_presigned_url("get_object", Params=ask | overrides))
    assert (status, body) == (200, b"signed")
    assert (headers["Content-Type"], headers["Cache-Control"]) == ("image/png", "no-store")
    assert headers["Content-Disposition"] == 'inline; filename="x y.png"'
    tampered = signer.generate_presigned_url("get_object", Params=ask).replace("a%20b", "a%20c")
    assert fetch(tampered)[0] == 403


@pytest.fixture
def old_signer(laptop: Laptop) -> Iterator[Any]:
    """As boto3 presigns for S3 unless it is told otherwise: by SigV2."""
    laptop.bucket()
    client = boto3.session.Session().client(
        "s3", endpoint_url=laptop.endpoint, region_name="us-east-1", aws_access_key_id="local",
        aws_secret_access_key="local",
    )  # fmt: skip
    yield client
    client.close()


def test_urls_of_the_old_signature_read_and_write(old_signer: Any) -> None:
    ask = {"Bucket": "drop", "Key": "a b/é+.txt"}
    put = old_signer.generate_presigned_url("put_object", Params=ask | {"ContentType": "text/plain"})
    assert "AWSAccessKeyId=local" in put and "X-Amz-Signature" not in put
    assert fetch(put, "PUT", b"signed", {"Content-Type": "text/plain"})[0] == 200
    overrides = {"ResponseContentType": "image/png", "ResponseContentDisposition": 'inline; filename="x y+é.png"'}
    status, headers, body = fetch(old_signer.generate_presigned_url("get_object", Params=ask | overrides))
    assert (status, headers["Content-Type"], body) == (200, "image/png", b"signed")
    tagged = old_signer.generate_presigned_url("get_object_tagging", Params=ask)
    assert fetch(tagged)[0] == 200
    described = old_signer.generate_presigned_url("put_object", Params=ask | {"Metadata": {"who": "ann"}})
    assert fetch(described, "PUT", b"more", {"x-amz-meta-who": "ann", "Content-Type": ""})[0] == 200


@pytest.mark.parametrize(
    ("tamper", "method", "headers"),
    [
        (lambda url: url.replace("/k?", "/other?"), "GET", {}),
        (lambda url: re.sub("Signature=[^&]+", "Signature=AAAA", url), "GET", {}),
        (lambda url: re.sub("Signature=[^&]+", "Signature=%C3%A9", url), "GET", {}),
        (lambda url: re.sub("Signature=[^&]+&", "", url), "GET", {}),
        (lambda url: re.sub(r"Expires=\d+", "Expires=9999999999", url), "GET", {}),
        (lambda url: re.sub(r"Expires=\d+", "Expires=1000000000", url), "GET", {}),
        (lambda url: f"{url}&tagging", "GET", {}),
        (lambda url: url, "PUT", {}),
        (lambda url: url, "GET", {"x-amz-request-payer": "requester"}),
        (lambda url: url, "GET", {"Authorization": "junk"}),
    ],
)
def test_a_url_of_the_old_signature_is_good_for_what_was_signed(
    old_signer: Any, tamper: Callable[[str], str], method: str, headers: dict[str, str]
) -> None:
    old_signer.put_object(Bucket="drop", Key="k", Body=b"x")
    url = old_signer.generate_presigned_url("get_object", Params={"Bucket": "drop", "Key": "k"})
    assert fetch(url)[0] == 200
    status = fetch(tamper(url), method, b"x" if method == "PUT" else None, headers)[0]
    assert status == (400 if "Authorization" in headers else 403)


def test_an_authorization_of_another_kind_is_refused_as_s3_does(laptop: Laptop) -> None:
    laptop.bucket()
    for header in ("junk", "Basic bG9jYWw6bG9jYWw="):
        status, _, body = fetch(f"{laptop.endpoint}/drop", headers={"Authorization": header})
        assert status == 400
        assert b"<Code>InvalidArgument</Code><Message>Unsupported Authorization Type</Message>" in body
        assert f"<ArgumentValue>{header}</ArgumentValue>".encode() in body
    assert fetch(f"{laptop.endpoint}/drop", headers={"Authorization": "Bearer a.b.c"})[0] == 200


def post(form: dict[str, Any], content: bytes, filename: str = "f.txt", **more: str) -> tuple[int, Any, bytes]:
    boundary = "b0undary"
    fields = form["fields"] | more
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in fields.items()
    ]
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{filename}"\r\n'
    parts += [head.encode(), b"Content-Type: text/plain\r\n\r\n", content, f"\r\n--{boundary}--\r\n".encode()]
    headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    answer: tuple[int, Any, bytes] = fetch(form["url"], "POST", b"".join(parts), headers)
    return answer


def test_a_signed_form_uploads_what_its_policy_allows(laptop: Laptop, signer: Any) -> None:
    form = signer.generate_presigned_post(
        "drop",
        "in/${filename}",
        Fields={"Content-Type": "text/plain", "x-amz-meta-who": "é", "success_action_status": "201"},
        Conditions=[
            {"Content-Type": "text/plain"},
            {"success_action_status": "201"},
            ["starts-with", "$x-amz-meta-who", ""],
            ["content-length-range", 2, 10 * MB],
        ],
    )
    content = b"\r\n--b0und\r" * 300_000
    status, headers, body = post(form, content, "sea shore.txt")
    assert (status, b"<Key>in/sea shore.txt</Key>" in body) == (201, True)
    assert headers["ETag"] == f'"{hashlib.md5(content).hexdigest()}"'
    assert laptop.body("in/sea shore.txt") == content
    assert laptop.client.head_object(Bucket="drop", Key="in/sea shore.txt")["ContentType"] == "text/plain"
    assert b"EntityTooSmall" in post(form, b"x")[2]
    assert b"EntityTooLarge" in post(form, b"x" * 11 * MB)[2]


def test_a_form_its_policy_does_not_allow_is_refused(laptop: Laptop, signer: Any) -> None:
    form = signer.generate_presigned_post("drop", "in/a", ExpiresIn=60)
    assert post(form, b"x")[0] == 204
    assert b"Policy Condition failed" in post(form, b"x", key="out/a")[2]
    assert b"Extra input fields: x-amz-meta-a" in post(form, b"x", **{"x-amz-meta-a": "1"})[2]
    assert b"SignatureDoesNotMatch" in post(form, b"x", **{"x-amz-signature": "0" * 64})[2]
    expired = signer.generate_presigned_post("drop", "in/a", ExpiresIn=-5)
    assert b"Policy expired" in post(expired, b"x")[2]
    laptop.bucket("other")
    assert b"Policy Condition failed" in post(form | {"url": f"{laptop.endpoint}/other"}, b"x")[2]
    assert len(laptop.files) == 1


def test_a_policy_that_is_none_is_refused() -> None:
    for content in (b"{", b"[]", b"[" * 1500):
        with pytest.raises(AwsError, match="InvalidPolicyDocument"):
            Policy(base64.b64encode(content).decode())


# Lifecycle and restarts


def days(count: float) -> float:
    return datetime.now(UTC).timestamp() + count * 86_400


def test_objects_expire_by_the_bucket_s_rules(laptop: Laptop) -> None:
    rules = [
        {"Status": "Enabled", "Prefix": "query/", "ExpirationInDays": 1},
        {"Status": "Enabled", "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1}},
        {"Status": "Disabled", "ExpirationInDays": 1},
    ]
    s3, bucket = laptop.client, laptop.bucket(LifecycleConfiguration={"Rules": rules}, **EVENTS)
    for key in ("query/a", "query/b", "kept"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"x")
    s3.create_multipart_upload(Bucket=bucket, Key="never")
    laptop.events.clear()
    laptop.service.expire(days(0.9))
    assert len(keys(s3.list_objects_v2(Bucket=bucket))) == 3
    laptop.service.expire(days(2.1))
    assert keys(s3.list_objects_v2(Bucket=bucket)) == ["kept"]
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=bucket)
    details = [event["detail"] for event in laptop.events]
    assert [detail["object"]["key"] for detail in details] == ["query/a", "query/b"]
    assert {(detail["reason"], detail["requester"], detail["deletion-type"]) for detail in details} == {
        ("Lifecycle Expiration", "s3.amazonaws.com", "Permanently Deleted")
    }
    assert len(laptop.files) == 1


def test_old_versions_and_lone_markers_expire(laptop: Laptop) -> None:
    rule = {
        "Status": "Enabled",
        "ExpiredObjectDeleteMarker": True,
        "NoncurrentVersionExpiration": {"NoncurrentDays": 1, "NewerNoncurrentVersions": 1},
    }
    s3, bucket = laptop.client, laptop.bucket(LifecycleConfiguration={"Rules": [rule]}, **VERSIONED)
    made = [s3.put_object(Bucket=bucket, Key="k", Body=b"%d" % n)["VersionId"] for n in range(4)]
    s3.delete_object(Bucket=bucket, Key="gone")
    laptop.service.expire(days(2.1))
    listed = s3.list_object_versions(Bucket=bucket)
    assert [each["VersionId"] for each in listed["Versions"]] == [made[3], made[2]]
    assert "DeleteMarkers" not in listed


def test_a_restart_keeps_everything_and_sweeps_what_a_kill_left(
    laptop: Laptop, keyring: Keyring, serve: Callable[[Mapping[str, Service]], Clients]
) -> None:
    s3, bucket = laptop.client, laptop.bucket(**VERSIONED, **EVENTS)
    versions = [s3.put_object(Bucket=bucket, Key="k", Body=body, Tagging="t=1")["VersionId"] for body in (b"1", b"2")]
    upload = s3.create_multipart_upload(Bucket=bucket, Key="big")["UploadId"]
    etag = s3.upload_part(Bucket=bucket, Key="big", UploadId=upload, PartNumber=1, Body=b"part")["ETag"]
    objects = laptop.state.folder / "objects"
    (objects / "incoming" / "torn").write_bytes(b"half")
    orphan = objects / laptop.files[0].parent.name / ("0" * 32)
    orphan.write_bytes(b"renamed, never committed")

    events: list[dict[str, Any]] = []
    folder = State(laptop.state.folder)
    again = S3(folder, keyring, events.append)
    again.ensure_bucket(bucket, VERSIONED | EVENTS)
    client = serve({"s3": again}).get("s3", None)
    assert not orphan.exists() and not (objects / "incoming" / "torn").exists()
    assert client.get_object(Bucket=bucket, Key="k")["Body"].read() == b"2"
    assert client.get_object(Bucket=bucket, Key="k", VersionId=versions[0])["Body"].read() == b"1"
    assert client.get_object_tagging(Bucket=bucket, Key="k")["TagSet"] == [{"Key": "t", "Value": "1"}]
    parts = {"Parts": [{"PartNumber": 1, "ETag": etag}]}
    client.complete_multipart_upload(Bucket=bucket, Key="big", UploadId=upload, MultipartUpload=parts)
    assert client.get_object(Bucket=bucket, Key="big")["Body"].read() == b"part"
    assert events[0]["detail"]["object"]["sequencer"] > laptop.events[-1]["detail"]["object"]["sequencer"]
    folder.close()


def test_objects_stay_readable_while_they_are_overwritten(laptop: Laptop, s3: Any) -> None:
    bodies = [bytes([65 + number]) * 300_000 for number in range(6)]
    s3.put_object(Bucket="drop", Key="k", Body=bodies[0])
    failures: list[Exception] = []

    def work(number: int) -> None:
        try:
            for _ in range(6):
                s3.put_object(Bucket="drop", Key="k", Body=bodies[number])
                assert laptop.body("k") in bodies
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(laptop.files) == 1


# The AWS CLI


@pytest.fixture
def aws(laptop: Laptop, tmp_path: Path) -> Callable[..., str]:
    program = shutil.which("aws")
    if program is None:
        pytest.skip("no AWS CLI on PATH")
    (tmp_path / "config").touch()
    environment = {
        "AWS_CONFIG_FILE": str(tmp_path / "config"),
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "AWS_ENDPOINT_URL": laptop.endpoint,
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_PAGER": "",
        "LC_ALL": "C.UTF-8",
    }

    def run(*arguments: str) -> str:
        done = subprocess.run([program, *arguments], env=environment, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.mark.slow
def test_the_aws_cli_copies_lists_syncs_and_removes(laptop: Laptop, aws: Callable[..., str], tmp_path: Path) -> None:
    laptop.bucket(**EVENTS)
    folder = tmp_path / "up"
    (folder / "sub dir").mkdir(parents=True)
    big = os.urandom(20 * MB)
    (folder / "big.bin").write_bytes(big)
    (folder / "sub dir" / "a+b %é#.txt").write_text("small")
    aws("s3", "sync", str(folder), "s3://drop/in", "--no-progress")
    assert {event["detail"]["reason"] for event in laptop.events} == {"PutObject", "CompleteMultipartUpload"}
    listed = aws("s3", "ls", "s3://drop/in/", "--recursive")
    assert "in/big.bin" in listed and "in/sub dir/a+b %é#.txt" in listed
    aws("s3", "cp", "s3://drop/in", str(tmp_path / "down"), "--recursive", "--no-progress")
    assert (tmp_path / "down" / "big.bin").read_bytes() == big
    assert (tmp_path / "down" / "sub dir" / "a+b %é#.txt").read_text() == "small"
    url = aws("s3", "presign", "s3://drop/in/sub dir/a+b %é#.txt").strip()
    assert fetch(url)[2] == b"small"
    aws("s3", "rm", "s3://drop/in", "--recursive")
    assert laptop.files == []


def test_the_aws_cli_sees_versions(laptop: Laptop, aws: Callable[..., str]) -> None:
    s3, bucket = laptop.client, laptop.bucket(**VERSIONED)
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    s3.delete_object(Bucket=bucket, Key="k")
    listed = json.loads(aws("s3api", "list-object-versions", "--bucket", bucket, "--output", "json"))
    assert (len(listed["Versions"]), len(listed["DeleteMarkers"])) == (1, 1)
