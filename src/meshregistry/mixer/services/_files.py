"""What documents in files say of services, for programs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from meshregistry.errors import ConfigError
from meshregistry.mixer._files import ConfigFiles, unreadable
from meshregistry.mixer._nodes import GROUP, spec_reader
from meshregistry.mixer.services._reading import KINDS, read_piece
from meshregistry.mixer.services._resolving import resolve
from meshregistry.mixer.vocabulary import STANDARD

if TYPE_CHECKING:
    from meshregistry.mixer._manifest import Manifest
    from meshregistry.mixer.services._specs import ServiceSpecs


def read_services(*paths: Path | str, manifest: Manifest = STANDARD) -> ServiceSpecs:
    """Read what documents say of APIs and charges, and nothing else of them. Blocks.

    A `MixerMiddleware` or `MixerInterceptor` takes it as ``quotas=specs.charges`` and
    ``api=specs.api(service)``.

    Args:
        paths: files, and folders of YAML and JSON files.
        manifest: declared attributes; documents of kind ``attributemanifest`` are for servers.

    Raises:
        ConfigError: if a path cannot be read, or a document is wrong; it has every fault.
    """
    try:
        listing = ConfigFiles(map(Path, paths)).read()
    except OSError as error:
        raise unreadable(error) from error
    documents = () if listing is None else listing.documents
    faults = [] if listing is None else list(listing.faults)
    pieces = []
    for document in documents:
        if document.key.group != GROUP or document.key.kind not in KINDS:
            continue
        found: list[ConfigError] = []
        reader = spec_reader(document, found)
        if reader is not None:
            piece = read_piece(document.key, document.root, reader)
            if not found:
                pieces.append(piece)
        faults += found
    specs = resolve(pieces, manifest, faults, [])
    if faults:
        raise ConfigError.joined(faults)
    return specs
