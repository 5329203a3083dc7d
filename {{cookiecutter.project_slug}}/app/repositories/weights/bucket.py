"""Folders of object stores: S3 and what speaks like it, Google's, Azure's, and local ones."""

import hashlib
import os
import re
import threading
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

import obstore
from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError
from obstore.store import from_url

from app.repositories.weights.base import (
    STALL_SECONDS,
    SourceUnreachableError,
    WeightFile,
    WeightsError,
    is_address,
)
from app.repositories.weights.checksums import SUMS_FILE, parse_sums

if TYPE_CHECKING:
    from obstore.store import ObjectStore

HOW_TO_MAKE_SUMS = f"find . -type f ! -name {SUMS_FILE} -exec sha256sum {{}} + > {SUMS_FILE}"
PIECE_BYTES = 1 << 18
LEAVE_SECONDS = 1.0
ENDPOINTS = ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT")
PREFIXES = ("AWS_", "AZURE_", "GOOGLE_")
SETTINGS = {
    "s3": "AWS_ENDPOINT_URL, AWS_REGION, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS",
    "az": "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY",
    "file": "the folder",
}
# The library has one error for all of this, and tells the cases apart in its text alone.
NO_BUCKET = re.compile(r"NoSuchBucket|ContainerNotFound|UnableToCanonicalize")
NO_CREDENTIALS = re.compile(
    r"source: Missing|/latest/api/token|/computeMetadata|/metadata/identity"
)
REASON = re.compile(r'status code: (\d+)|message: "([^"]+)"|error: "([^"]+)"|(timed out|TimedOut)')
T = TypeVar("T")


class Bucket:
    """A folder of an object store, whose ``SHA256SUMS`` names the files that are wanted.

    Address and credentials come from the environment (``AWS_ENDPOINT_URL``,
    ``AWS_ACCESS_KEY_ID``, ...), as obstore reads it.

    Args:
        url: ``s3://bucket/prefix``, or the same of ``gs``, ``az`` or ``file``.
        pin: SHA-256 of ``SHA256SUMS``, in hexadecimal; empty to take any.
    """

    def __init__(self, url: str, pin: str) -> None:
        self.name = url
        self.pin = pin
        self._settings = SETTINGS[urlsplit(url).scheme]

    def files(self) -> list[WeightFile]:
        """Return the files that are wanted. See `Source`."""
        with self._told():
            content = interruptible(self._read_sums)
        if self.pin not in {"", hashlib.sha256(content).hexdigest()}:
            sentence = f"{SUMS_FILE} of {self.name} is not the one that MODEL_SOURCE pins."
            raise WeightsError(os.EX_DATAERR, sentence)
        try:
            digests = parse_sums(content)
        except ValueError as error:
            sentence = f"{SUMS_FILE} of {self.name} cannot be used: {error}."
            raise WeightsError(os.EX_DATAERR, sentence) from error
        with self._told():
            return interruptible(lambda: [self._file(*item) for item in digests.items()])

    def read(self, file: WeightFile, offset: int) -> Generator[bytes]:
        """Yield a file's content from a byte on. See `Source`."""
        with self._told():
            found = interruptible(
                lambda: obstore.get(self._store, file.path, options={"range": {"offset": offset}})
            )
            stream = found.stream(min_chunk_size=PIECE_BYTES)
            while piece := interruptible(lambda: next(stream, b"")):
                yield piece

    @cached_property
    def _store(self) -> "ObjectStore":
        for variable, value in [*os.environ.items()]:
            if not variable.startswith(PREFIXES):
                continue
            os.environ[variable] = value.strip()  # a file's last line break is none of the value
            if not value.strip():
                del os.environ[variable]  # compose files pass on what is not set like this
            elif variable.startswith("AWS_") and not value.strip().isprintable():
                sentence = f"{variable} has a line break or the like in it: set it anew."
                raise WeightsError(os.EX_CONFIG, sentence)
        for variable in ENDPOINTS:
            if not is_address(os.environ.get(variable, "http://unset")):
                sentence = f"{variable} is no address: write http://host:port, or https://host."
                raise WeightsError(os.EX_CONFIG, sentence)
        return from_url(
            self.name,
            # A request may take a day, as long as bytes keep coming.
            client_options={
                "allow_http": True,
                "connect_timeout": f"{STALL_SECONDS}s",
                "read_timeout": f"{STALL_SECONDS}s",
                "timeout": "1d",
            },
            retry_config={"max_retries": 0},  # who calls tries again
        )

    def _read_sums(self) -> bytes:
        try:
            return bytes(obstore.get(self._store, SUMS_FILE).bytes())
        except FileNotFoundError as error:
            if NO_BUCKET.search(str(error)):
                raise
            if not next(iter(obstore.list(self._store, chunk_size=1)), []):
                sentence = f"There is nothing at {self.name}: look at the path in MODEL_SOURCE."
                raise WeightsError(os.EX_CONFIG, sentence) from error
            sentence = (
                f"{self.name} has no {SUMS_FILE}: make it where the files are, with "
                f"`{HOW_TO_MAKE_SUMS}`, and upload it as well."
            )
            raise WeightsError(os.EX_CONFIG, sentence) from error

    def _file(self, path: str, digest: str) -> WeightFile:
        try:
            return WeightFile(path, digest, obstore.head(self._store, path)["size"])
        except FileNotFoundError as error:
            sentence = f"{self.name} has no {path}, but its {SUMS_FILE} names it: upload it."
            raise WeightsError(os.EX_DATAERR, sentence) from error

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Say in one sentence what the library has raised."""
        try:
            yield
        except (PermissionDeniedError, UnauthenticatedError) as error:
            sentence = f"{self.name} may not be read with these credentials: see {self._settings}."
            raise WeightsError(os.EX_NOPERM, sentence) from error
        except (BaseError, FileNotFoundError) as error:
            text = str(error)
            if NO_BUCKET.search(text):
                sentence = f"There is no bucket for {self.name}: look at the name in MODEL_SOURCE."
                raise WeightsError(os.EX_CONFIG, sentence) from error
            if NO_CREDENTIALS.search(text):
                sentence = f"There are no credentials for {self.name}: set {self._settings}."
                raise WeightsError(os.EX_NOPERM, sentence) from error
            found = REASON.search(text)
            reason = found[found.lastindex or 0] if found else type(error).__name__
            sentence = f"{self.name} cannot be reached ({reason}): see {self._settings}."
            raise SourceUnreachableError(os.EX_UNAVAILABLE, sentence) from error
        except WeightsError:
            raise
        except Exception as error:
            sentence = f"{self.name} cannot be used with these settings: see {self._settings}."
            raise WeightsError(os.EX_CONFIG, sentence) from error


def interruptible(call: Callable[[], T]) -> T:
    """Return what a blocking call of the library returns.

    Such a call keeps signals waiting, so it is made in a thread. (Its coroutines do not, but when
    the process ends at once, as after an error, they abort it now and then.)
    """
    future: Future[T] = Future()

    def work() -> None:
        try:
            future.set_result(call())
        except Exception as error:
            future.set_exception(error)
        except BaseException as error:
            # A panic of the library: no Exception, and its text may have a secret in it.
            future.set_exception(RuntimeError(type(error).__name__))

    thread = threading.Thread(target=work, name="bucket", daemon=True)
    thread.start()
    try:
        return future.result()
    finally:
        # A call that comes back while the interpreter ends would abort it as well.
        thread.join(LEAVE_SECONDS)
