"""The web service behind `jcs serve`: studies in, results out, over HTTP. Read app.py first."""
