"""The door for DICOM peers: a node that takes CT studies, has them diagnosed, and sends the results back."""
