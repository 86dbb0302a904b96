"""Notices: everything that the system says about an input, a result and their limits. Read `notice.py` first."""

from jcs_ct.notices.catalog import CATALOG as CATALOG
from jcs_ct.notices.catalog import as_document as as_document
from jcs_ct.notices.catalog import from_document as from_document
from jcs_ct.notices.catalog import notice as notice
from jcs_ct.notices.catalog import text as text
from jcs_ct.notices.catalog import texts as texts
from jcs_ct.notices.notice import Notice as Notice
from jcs_ct.notices.notice import Severity as Severity
from jcs_ct.notices.notice import Value as Value
from jcs_ct.notices.printable import printable as printable
