"""The default weights put to the test on data sources: what `jcs evaluate` prints.

Everything runs through the same functions as a diagnosis, at the slices' own resolution. Test slices are those of the
documented splits; none of them was trained on.
"""

from jcs_ct.benchmarks.agreement import agreement as agreement
from jcs_ct.benchmarks.benchmark import BenchmarkResult as BenchmarkResult
from jcs_ct.benchmarks.benchmark import check_own_data as check_own_data
from jcs_ct.benchmarks.classification import calibrate as calibrate
from jcs_ct.benchmarks.classification import classification as classification
from jcs_ct.benchmarks.classification import slice_probabilities as slice_probabilities
from jcs_ct.benchmarks.composition import composition as composition
from jcs_ct.benchmarks.composition import fit_composition as fit_composition
from jcs_ct.benchmarks.coverage import coverage as coverage
from jcs_ct.benchmarks.evidence import fit_slice_evidence as fit_slice_evidence
from jcs_ct.benchmarks.explanation import localisation as localisation
from jcs_ct.benchmarks.explanation import shortcut as shortcut
from jcs_ct.benchmarks.segmentation import fit_intervals as fit_intervals
from jcs_ct.benchmarks.segmentation import segmentation as segmentation
from jcs_ct.benchmarks.typicality import fit_usual as fit_usual
from jcs_ct.benchmarks.typicality import typicality as typicality
