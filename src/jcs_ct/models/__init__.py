"""The networks of the paper. Tensors in, tensors out: this package knows no file and no DICOM."""
