"""TLS for both directions: version 1.2 at least, certificates checked (PS3.15 B.9, BCP 195)."""

from __future__ import annotations

import ssl

from jcs_ct.errors import UsageError
from jcs_ct.pacs.settings import TlsSettings


def server_context(settings: TlsSettings) -> ssl.SSLContext:
    """For callers.

    Raises:
        UsageError: The files hold no certificate and its key.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _load(context, settings)
    if settings.client_certificates:
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def client_context(settings: TlsSettings) -> ssl.SSLContext:
    """For peers that are called; the node shows its own certificate.

    Raises:
        UsageError: As for `server_context`.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    _load(context, settings)
    if settings.authorities is None:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    return context


def own_context(settings: TlsSettings) -> ssl.SSLContext:
    """For the node that calls itself: trusts its own certificate, by whatever name and whoever signed it.

    Raises:
        UsageError: As for `server_context`.
    """
    context = client_context(settings)
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.load_verify_locations(settings.certificate)
    return context


def _load(context: ssl.SSLContext, settings: TlsSettings) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(settings.certificate, settings.key, password=_no_passphrase)
    except (ssl.SSLError, OSError) as error:
        raise UsageError(
            f"[tls] certificate, key: found {settings.certificate} and {settings.key}, which do not load ({error}); "
            "expected a certificate and the key to it as PEM, without a passphrase"
        ) from error
    if settings.authorities is not None:
        try:
            context.load_verify_locations(settings.authorities)
        except (ssl.SSLError, OSError) as error:
            raise UsageError(
                f"[tls] authorities: {settings.authorities} does not load ({error}); expected certificates as PEM"
            ) from error


def _no_passphrase() -> str:
    # Without this, OpenSSL would ask on the terminal and wait.
    return ""
