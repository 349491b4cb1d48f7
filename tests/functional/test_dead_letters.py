"""What cannot be answered: told by its asset, kept among the dead letters, and sent back when it was mended."""

import json
import time
import urllib.request
from typing import Any

from tests.user import User


def rule(user: User, **more: Any) -> None:
    body = json.dumps({"fault": "fail", "service": "bedrock-runtime", "operation": "InvokeModel", **more}).encode()
    urllib.request.urlopen(f"{user.outputs['AwsEndpointUrl']}/_local/faults", body).close()


def dead(user: User, key: str) -> list[dict[str, Any]]:
    """The dead letters that name the key, which are seen again at once."""
    sqs = user.client("sqs")
    url = sqs.get_queue_url(QueueName=user.outputs["DeadLettersArn"].rpartition(":")[2])["QueueUrl"]
    found = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=0).get("Messages", [])
    return [one for one in found if key in one["Body"]]


def test_a_failure_of_bedrock_is_tried_again_within_seconds(user: User) -> None:
    rule(user, resource="one hiccup", next=1)
    started = time.monotonic()
    assert user.dropped("hiccup.txt", b"one hiccup")["status"] == "indexed"
    assert time.monotonic() - started < 45


def test_what_was_tried_in_vain_says_so_and_is_sent_back_when_it_was_mended(user: User) -> None:
    key = "in vain.txt"
    user.drop(key, b"always in vain")
    user.settled(key)
    user.client("sqs").send_message(  # as it comes after five tries
        QueueUrl=user.queue("Unanswered"), MessageBody=json.dumps({"detail": {"object": {"key": key}}})
    )
    user.until(lambda: len(dead(user, key)) == 1)
    assert user.settled(key)["status"] == "indexed"  # what is live is never marked
    rule(user, resource="quite in vain", next=2)
    user.drop(key, b"quite in vain")
    user.until(lambda: bool((asset := user.asset(key)) and asset["status"] == "embedding"))
    user.client("sqs").send_message(
        QueueUrl=user.queue("Unanswered"), MessageBody=json.dumps({"detail": {"object": {"key": key}}})
    )
    asset = user.settled(key, not_as=user.asset(key))
    assert asset["status"] == "failed" and "5 tries ended in an error" in asset["reason"], asset
    user.until(lambda: len(dead(user, key)) == 2)  # it is told before it is laid there
    user.client("sqs").start_message_move_task(
        SourceArn=user.outputs["DeadLettersArn"], DestinationArn=user.outputs["IngestQueueArn"]
    )
    user.until(lambda: not dead(user, key))
    user.until(lambda: bool((asset := user.asset(key)) and asset["status"] == "indexed"))  # nobody asked otherwise


def test_an_order_that_could_be_carried_out_at_last_is_no_dead_letter(user: User) -> None:
    sqs, url = user.client("sqs"), user.queue("Unanswered")
    bodies = [{"retry": {"prefix": "nothing lies here/"}}, {"key": "gone long ago.txt"}]
    entries = [{"Id": str(number), "MessageBody": json.dumps(body)} for number, body in enumerate(bodies)]
    sqs.send_message_batch(QueueUrl=url, Entries=entries)
    user.until(lambda: len(dead(user, "gone long ago.txt")) == 1)
    assert not dead(user, "nothing lies here/")
