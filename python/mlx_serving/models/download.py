"""`python -m mlx_serving.models.download --id OWNER/NAME --out DIR`: fetches a model from the hub.

Takes weights as safetensors and the files beside them, never code. What has arrived is kept, so
that the same command goes on after an interruption. Exit codes: 0 complete, 1 the network or the
disk failed, 2 there is no such model, or it may not be read.
"""

from __future__ import annotations

import argparse
import sys

from .sources import HUB_FILES, gated, hub_host, not_on_hub, unreachable


def main() -> None:
    parser = argparse.ArgumentParser(prog="mlx_serving.models.download", description=__doc__)
    parser.add_argument("--id", required=True, help="owner/name, as the hub has it")
    parser.add_argument("--out", required=True, help="folder; made if it isn't there")
    arguments = parser.parse_args()
    sys.exit(download(arguments.id, arguments.out))


def download(model_id: str, folder: str) -> int:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
    )

    try:
        snapshot_download(model_id, local_dir=folder, allow_patterns=list(HUB_FILES))
    except GatedRepoError:
        print(f"The model {gated(model_id)}.")
        return 2
    except (RepositoryNotFoundError, HFValidationError):
        print(f"{not_on_hub(model_id)}.")
        return 2
    except (HfHubHTTPError, LocalEntryNotFoundError, ConnectionError, TimeoutError) as error:
        reason = unreachable(type(error).__name__)
        print(f"The model {model_id} could not be downloaded: {reason}.")
        return 1
    except (OSError, RuntimeError) as error:
        reason = str(error).strip().split("\n")[0]
        print(f"The model {model_id} could not be downloaded from {hub_host()}: {reason}")
        return 1
    return 0


if __name__ == "__main__":
    main()
