"""The commands: each reads its options, asks the API, and prints a table or, with `--json`, what the API answered."""

import base64
import json
import re
import sys
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from lens import adding, tables
from lens.adding import Addition
from lens.api import Api, Json
from lens.errors import LensError, NotThereError
from lens.stack import Stack, find_stack

INLINE_BYTES = 3_000_000  # a request to Lambda is 6 MB at most, and base64 takes a third more
ASSET_ID = re.compile("[a-z2-7]{20}")

app = typer.Typer(
    name="lens",
    help="Search inside the files of a bucket: on the laptop, or in a stack on AWS.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


class Modality(StrEnum):
    TEXT = "text"
    IMAGE = "image"
    DOCUMENT = "document"
    AUDIO = "audio"
    VIDEO = "video"


class Mode(StrEnum):
    VECTOR = "vector"
    TEXT = "text"
    HYBRID = "hybrid"


class Status(StrEnum):
    RECEIVED = "received"
    WAITING = "waiting"
    EMBEDDING = "embedding"
    INDEXED = "indexed"
    PARTIAL = "partial"
    FAILED = "failed"
    UNSUPPORTED = "unsupported"
    DELETED = "deleted"


@dataclass(frozen=True)
class Where:
    """The stack that the options name; it is looked for when a command needs it."""

    api_url: str | None
    outputs: Path | None
    token: str | None

    @cached_property
    def stack(self) -> Stack:
        return find_stack(self.api_url, self.outputs, self.token)

    @cached_property
    def api(self) -> Api:
        return Api(self.stack)


JsonOption = Annotated[bool, typer.Option("--json", help="What the API answered, as JSON.")]
ModalityOption = Annotated[list[Modality] | None, typer.Option("--modality", "-m", help="Only these kinds of file.")]
Assets = Annotated[list[str], typer.Argument(metavar="ASSET…", help="An asset_id or a key.")]


@app.callback()
def options(
    context: typer.Context,
    api_url: Annotated[str | None, typer.Option(envvar="BUCKETLENS_API_URL", help="Where the API is.")] = None,
    outputs: Annotated[
        Path | None,
        typer.Option(
            envvar="BUCKETLENS_OUTPUTS",
            help="The stack's outputs; else outputs.json or .local/outputs.json, here or in the checkout.",
        ),
    ] = None,
    token: Annotated[
        str | None,
        typer.Option(envvar="BUCKETLENS_TOKEN", help="A bearer token, in place of a signature with AWS credentials."),
    ] = None,
) -> None:
    context.obj = Where(api_url, outputs, token)


@app.command()
def add(
    context: typer.Context,
    paths: Annotated[list[Path], typer.Argument(metavar="PATH…", help="Files, and folders with all that is in them.")],
    prefix: Annotated[
        str | None,
        typer.Option(help="Put them into the bucket under this prefix, with your rights to S3, over what is there."),
    ] = None,
    key: Annotated[str | None, typer.Option(help="The same for one file: its key.")] = None,
    attribute: Annotated[
        list[str] | None,
        typer.Option("--attribute", "-a", metavar="NAME=VALUE", help="Say this of each; with --prefix or --key."),
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Until they can be found.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Add files, through forms of the API: each gets a folder of its own, and nothing is written over."""
    where: Where = context.obj
    additions = adding.collect(paths)
    attributes = dict(map(_attribute, attribute or []))
    if attributes and prefix is None and key is None:
        raise LensError("Attributes lie beside the file: say where with --prefix or --key.")
    _name(additions, prefix, key)
    with _progress() as progress:
        task = progress.add_task("adding", total=sum(one.size for one in additions) or None)

        def sent(count: int) -> None:
            progress.advance(task, count)

        direct = prefix is not None or key is not None
        put = (
            adding.into_bucket(where.api, where.stack, attributes, sent)
            if direct
            else adding.through_forms(where.api, sent)
        )
        adding.put_all(additions, put)
    if wait:
        _wait(additions, where.api)
    shown = [one.shown() for one in additions]
    _print(shown, as_json, tables.additions(shown))
    if not all(one.is_well for one in additions):
        raise typer.Exit(1)


def _name(additions: list[Addition], prefix: str | None, key: str | None) -> None:
    if key is not None and len(additions) != 1:
        raise LensError(f"--key is for one file, and these are {len(additions)}: use --prefix.")
    for one in additions:
        one.name = key if key is not None else (prefix or "") + one.name


def _wait(additions: list[Addition], api: Api) -> None:
    with tables.console_of(stderr=True).status("waiting until they can be found …"):
        adding.wait_for(additions, api)


@app.command()
def search(
    context: typer.Context,
    text: Annotated[str | None, typer.Argument(help="What it says, shows or sounds like.")] = None,
    image: Annotated[Path | None, typer.Option(help="A picture to look for.")] = None,
    audio: Annotated[Path | None, typer.Option(help="A sound to look for.")] = None,
    video: Annotated[Path | None, typer.Option(help="A clip to look for.")] = None,
    like: Annotated[
        str | None,
        typer.Option(metavar="ASSET[@PLACE]", help="More like this file, at a second (@90) or on a page (@p3)."),
    ] = None,
    mode: Annotated[Mode | None, typer.Option(help="By meaning, by the words, or by both.")] = None,
    modality: ModalityOption = None,
    prefix: Annotated[str | None, typer.Option(help="Only in folders that begin so.")] = None,
    filter: Annotated[
        str | None, typer.Option("--filter", metavar="JSON", help='Such as \'{"speaker": "Ann"}\'.')
    ] = None,
    top: Annotated[int | None, typer.Option(min=1, max=100, help="How many; 10 unless told.")] = None,
    group_by: Annotated[
        str | None, typer.Option(help="asset, segment, or an attribute that several files share.")
    ] = None,
    min_score: Annotated[float | None, typer.Option(help="The least similarity.")] = None,
    rerank: Annotated[int | None, typer.Option(help="Compare this many once more, by their full vectors.")] = None,
    sort: Annotated[str | None, typer.Option(help="By relevance, created, duration or an attribute.")] = None,
    recency: Annotated[float | None, typer.Option(metavar="DAYS", help="Half as good when that much older.")] = None,
    neighbours: Annotated[int | None, typer.Option("--context", help="So many parts before and after each.")] = None,
    next: Annotated[str | None, typer.Option("--next", help="The page after the one that gave this.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Find the parts of files that fit best."""
    where: Where = context.obj
    media = {"image": image, "audio": audio, "video": video}
    query: Json = {"text": text} | {kind: _medium(where.api, path) for kind, path in media.items() if path}
    query["asset"] = _like(where.api, like) if like else None
    body = {
        "query": _given(query),
        "mode": mode,
        "modalities": modality or None,
        "filter": _filter(filter, prefix),
        "top_k": top,
        "group_by": group_by,
        "min_score": min_score,
        "rerank": rerank,
        "sort": sort,
        "recency": {"half_life_days": recency} if recency is not None else None,
        "context": neighbours,
        "next": next,
    }
    if not body["query"]:
        raise LensError("Look for what? Give a text, --image, --audio, --video or --like.")
    answer = where.api.search(_given(body))
    _print(answer, as_json, tables.hits(answer))
    if not as_json:
        notes = [] if answer["hits"] else ["Nothing was found."]
        notes += answer.get("notes", [])
        notes += [f"There is more: --next {answer['next']}"] if "next" in answer else []
        tables.console_of(stderr=True).print(*notes, sep="\n", markup=False, end="\n" if notes else "")


def _medium(api: Api, path: Path) -> Json:
    """Within the request where it has room, else as an upload that is gone in a day."""
    try:
        if path.stat().st_size <= INLINE_BYTES:
            return {"base64": base64.b64encode(path.read_bytes()).decode()}
        with path.open("rb") as content:
            return {"upload": api.upload(path.name, content, purpose="query")}
    except OSError as error:
        raise LensError(f"{path} can't be read: {str(error.strerror).lower()}.") from error


def _like(api: Api, text: str) -> Json:
    name, at, place = text.rpartition("@")
    if not at:
        return {"asset_id": _asset_id(api, text)}
    number = place.removeprefix("p")
    try:
        found = {"page": int(number)} if place.startswith("p") else {"start": float(number)}
    except ValueError as error:
        raise LensError(f"--like {text}: behind the @ is a second (@90) or a page (@p3).") from error
    return {"asset_id": _asset_id(api, name), **found}


def _filter(text: str | None, prefix: str | None) -> Any:
    try:
        given = json.loads(text) if text is not None else None
    except ValueError as error:
        raise LensError(f"--filter: this is no JSON ({error}).") from error
    if prefix is None:
        return given
    return {"prefix": prefix} if given is None else {"$and": [given, {"prefix": prefix}]}


@app.command("ls")
def list_assets(
    context: typer.Context,
    prefix: Annotated[str | None, typer.Argument(help="What keys begin with.")] = None,
    status: Annotated[Status | None, typer.Option(help="Only with this status.")] = None,
    modality: Annotated[Modality | None, typer.Option("--modality", "-m", help="Only this kind of file.")] = None,
    limit: Annotated[int, typer.Option(min=0, help="How many at most; 0 is all.")] = 1000,
    as_json: JsonOption = False,
) -> None:
    """List files in the order of their keys."""
    where: Where = context.obj
    found = list(where.api.assets(limit + 1 if limit else None, prefix=prefix, status=status, modality=modality))
    shown = found[:limit] if limit else found
    _print({"assets": shown}, as_json, tables.assets(shown))
    if len(shown) < len(found):
        tables.console_of(stderr=True).print(f"There are more than {limit}: --limit 0 lists all.")


@app.command()
def show(
    context: typer.Context,
    asset: Annotated[str, typer.Argument(help="An asset_id or a key.")],
    segments: Annotated[bool, typer.Option("--segments", "-s", help="Its parts, too.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Tell what is known of a file, and where it can be opened."""
    where: Where = context.obj
    found = where.api.asset(_asset_id(where.api, asset))
    parts = list(where.api.segments(found["asset_id"])) if segments else []
    _print(found | ({"segments": parts} if segments else {}), as_json, tables.details(found))
    if segments and not as_json:
        tables.display("")
        tables.display(tables.segments(parts))


@app.command("rm")
def remove(context: typer.Context, assets: Assets, as_json: JsonOption = False) -> None:
    """Delete files; they are found no more."""
    api: Api = context.obj.api
    _each(assets, api, api.remove, "is deleted", as_json)


@app.command()
def retry(
    context: typer.Context,
    assets: Annotated[list[str] | None, typer.Argument(metavar="[ASSET…]", help="An asset_id or a key.")] = None,
    prefix: Annotated[str | None, typer.Option(help="All whose key begins so.")] = None,
    status: Annotated[Status | None, typer.Option(help="All with this status.")] = None,
    since: Annotated[
        str | None, typer.Option(help="All that came to an end since then, in ISO; alone: failed.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Embed and index files once more; what is found stays found meanwhile."""
    api: Api = context.obj.api
    if assets:
        return _each(assets, api, api.retry, "will be tried again", as_json)
    asked = api.retry_all(_given({"prefix": prefix, "status": status, "since": since}))
    which = " and ".join(f"{name} {value}" for name, value in asked.items() if value)
    _print(asked, as_json, f"All with {which} will be tried again.")


@app.command()
def mcp(context: typer.Context) -> None:
    """Serve an agent on this machine: the Model Context Protocol over standard input and output."""
    from lens.agents import serve  # a second of imports, which no other command needs

    serve(context.obj.api)


def _each(assets: list[str], api: Api, do: Any, done: str, as_json: bool) -> None:
    """All that can be; then it fails if one could not."""
    answers, problems = [], []
    for name in assets:
        try:
            answers.append(do(_asset_id(api, name)))
        except NotThereError as error:
            problems.append(str(error))
    if as_json:
        _print(answers, True, "")
    else:
        for answer in answers:
            tables.display(f"{answer['key']} {done}.")
    if problems:
        raise LensError("\n".join(problems))


def _asset_id(api: Api, text: str) -> str:
    """A key may look like an id; then the id counts."""
    if ASSET_ID.fullmatch(text):
        return text
    found = api.by_key(text)
    if found is None:
        raise NotThereError(f"There is no file {text!r}.")
    return str(found["asset_id"])


def _attribute(text: str) -> tuple[str, Any]:
    """A number, true and false are what they look like, all else is a text."""
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise LensError(f"--attribute {text}: it is NAME=VALUE.")
    try:
        read = json.loads(value)
    except ValueError:
        read = value
    return name, read if isinstance(read, bool | int | float) else value


def _given(values: Json) -> Json:
    return {name: value for name, value in values.items() if value is not None}


def _progress() -> Progress:
    console = tables.console_of(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


def _print(answer: Any, as_json: bool, shown: Any) -> None:
    if as_json:
        json.dump(answer, sys.stdout, ensure_ascii=False, indent=2 if sys.stdout.isatty() else None)
        print()
    else:
        tables.display(shown)
