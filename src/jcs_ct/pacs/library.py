"""pynetdicom and the others, set up once for the process: whoever uses them imports this module for its effect.

What they log quotes what peers send: names, UIDs, whole data sets. What matters of it is in messages of our own.
"""

from __future__ import annotations

import logging

from pynetdicom import _config

_config.LOG_HANDLER_LEVEL = "none"
_config.LOG_REQUEST_IDENTIFIERS = False
_config.LOG_RESPONSE_IDENTIFIERS = False
_config.STORE_RECV_CHUNKED_DATASET = True  # an object goes to the disk as it comes, not into memory
for _name in ("pynetdicom", "dicomweb_client", "urllib3"):
    logging.getLogger(_name).setLevel(logging.CRITICAL + 1)

log = logging.getLogger("jcs_ct.pacs")
"""The log of the node: no patient data, no UIDs."""
