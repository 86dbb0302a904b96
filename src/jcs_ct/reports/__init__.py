"""Reports: each a function of a Diagnosis; `writer.write_reports` writes them all."""
