"""TLS towards a backend, from the options that adapters have for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path
    from ssl import SSLContext


def tls_context(
    base_path: Path,
    *,
    ca_file: Path | None = None,
    cert_file: Path | None = None,
    key_file: Path | None = None,
    verify: bool = True,
) -> SSLContext:
    """How a client speaks TLS; made anew for each connection, it follows renewed files.

    Args:
        base_path: which relative paths are below: that of the context.
        ca_file: whom to trust; None: what the system trusts.
        cert_file: the client's own certificate, if it has one.
        key_file: its key, without a passphrase; None: it is in the same file.
        verify: whether the server's certificate and name are checked.

    Raises:
        FileNotFoundError: if a file is not there.
        ssl.SSLError: if a file holds something else.
    """
    import ssl  # noqa: PLC0415 - every plugin loads this package, few need TLS

    tls = ssl.create_default_context(cafile=ca_file and str(base_path / ca_file))
    if not verify:
        tls.check_hostname = False
        tls.verify_mode = ssl.CERT_NONE
    if cert_file is not None:
        # Without a password here, OpenSSL would ask whoever sits at the terminal.
        tls.load_cert_chain(base_path / cert_file, key_file and base_path / key_file, password="")
    return tls
