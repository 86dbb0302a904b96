"""`python -m jcs_ct.cli`."""

from jcs_ct.cli import main

main()
