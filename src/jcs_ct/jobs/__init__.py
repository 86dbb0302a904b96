"""The queue below the web server and the DICOM node: studies in, results out, through any kill. Read queue.py first."""
