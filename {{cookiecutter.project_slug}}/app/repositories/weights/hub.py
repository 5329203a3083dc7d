"""Models of the Hugging Face Hub, at one commit."""

import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from json import JSONDecodeError
from pathlib import PurePosixPath

import httpx2
from huggingface_hub import HfApi, get_session, hf_hub_url
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import (  # type: ignore[attr-defined]
    build_hf_headers,
    hf_raise_for_status,
)

from app.repositories.weights.base import (
    STALL_SECONDS,
    SourceUnreachableError,
    WeightFile,
    WeightsError,
)
from app.repositories.weights.checksums import safe_path

SAFE_FORM = ".safetensors"
# The same weights in the forms of other frameworks; some of them may run code when loaded.
OTHER_FORMS = {
    *(".bin", ".ckpt", ".gguf", ".h5", ".mlmodel", ".msgpack", ".onnx", ".onnx_data"),
    *(".ot", ".pth", ".tflite"),
}
REFUSED = {401, 403}


class Hub:
    """A model of the hub, in ``models/<owner>/<name>``.

    The token comes from ``HF_TOKEN``, the address from ``HF_ENDPOINT``, as everywhere in
    huggingface_hub.

    Args:
        model: ``owner/name``.
        commit: 40 hexadecimal digits.
    """

    def __init__(self, model: str, commit: str) -> None:
        self.name = f"hf://{model}"
        self.pin = commit
        self._model = model

    def files(self) -> list[WeightFile]:
        """Return the files that are wanted. See `Source`.

        Where the model has safetensors, the same weights in other forms are left out.
        """
        with self._told():
            info = HfApi().model_info(
                self._model, revision=self.pin, files_metadata=True, timeout=STALL_SECONDS
            )
        found = {
            file.rfilename: WeightFile(
                path=f"{self._model}/{self._safe(file.rfilename)}",
                digest=f"sha256:{file.lfs.sha256}" if file.lfs else f"git:{file.blob_id}",
                size=file.size or 0,
            )
            for file in info.siblings or ()
        }
        if any(name.endswith(SAFE_FORM) for name in found):
            return [file for name, file in found.items() if _form(name) not in OTHER_FORMS]
        return [*found.values()]

    def read(self, file: WeightFile, offset: int) -> Generator[bytes]:
        """Yield a file's content from a byte on. See `Source`."""
        url = hf_hub_url(self._model, file.path.removeprefix(f"{self._model}/"), revision=self.pin)
        # Ranges count the bytes that are sent: nothing may compress them.
        headers = build_hf_headers() | {"Accept-Encoding": "identity", "Range": f"bytes={offset}-"}
        with (
            self._told(),
            get_session().stream("GET", url, headers=headers, timeout=STALL_SECONDS) as response,
        ):
            hf_raise_for_status(response)
            skipped = offset if response.status_code == httpx2.codes.OK else 0
            for chunk in response.iter_bytes():
                if len(chunk) > skipped:
                    yield chunk[skipped:]
                skipped = max(skipped - len(chunk), 0)

    def _safe(self, name: str) -> str:
        try:
            return safe_path(name)
        except ValueError as error:
            sentence = f"{self.name} has a file that cannot be kept: {error}."
            raise WeightsError(os.EX_DATAERR, sentence) from error

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Say in one sentence what the library has raised."""
        try:
            yield
        except GatedRepoError as error:
            sentence = f"{self.name} is gated: accept its terms on the hub, and set HF_TOKEN."
            raise WeightsError(os.EX_NOPERM, sentence) from error
        except RevisionNotFoundError as error:
            sentence = f"{self.name} has no commit {self.pin}: look it up on the model's page."
            raise WeightsError(os.EX_CONFIG, sentence) from error
        except RepositoryNotFoundError as error:
            sentence = (
                f"The hub has no model {self._model}, or it is private: "
                "correct the name in MODEL_SOURCE, or set HF_TOKEN."
            )
            raise WeightsError(os.EX_CONFIG, sentence) from error
        except HfHubHTTPError as error:
            status = error.response.status_code
            if status in REFUSED:
                sentence = f"The hub refuses {self.name} to this HF_TOKEN (HTTP {status})."
                raise WeightsError(os.EX_NOPERM, sentence) from error
            raise self._unreachable(f"HTTP {status}") from error
        except OfflineModeIsEnabled as error:
            raise self._unreachable("HF_HUB_OFFLINE is set") from error
        except httpx2.HTTPError as error:
            raise self._unreachable(type(error).__name__) from error
        except HFValidationError as error:
            sentence = f"{self._model} is no name of a model: correct it in MODEL_SOURCE."
            raise WeightsError(os.EX_CONFIG, sentence) from error
        except (JSONDecodeError, KeyError, TypeError) as error:
            raise self._unreachable("it does not answer as a hub does") from error
        except (ValueError, httpx2.InvalidURL) as error:
            # Which of them it is cannot be told, and its text may have the token in it.
            sentence = (
                f"{self.name} cannot be asked for ({type(error).__name__}): correct HF_ENDPOINT, "
                "HF_TOKEN, or HTTP_PROXY, HTTPS_PROXY and ALL_PROXY."
            )
            raise WeightsError(os.EX_CONFIG, sentence) from error

    def _unreachable(self, reason: str) -> SourceUnreachableError:
        return SourceUnreachableError(
            os.EX_UNAVAILABLE,
            f"{self.name} cannot be reached ({reason}): look at the network and HF_ENDPOINT.",
        )


def _form(name: str) -> str:
    return PurePosixPath(name).suffix.lower()
