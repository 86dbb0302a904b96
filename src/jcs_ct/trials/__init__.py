"""The default weights put to the test on data sources: what `jcs evaluate` prints.

Everything runs through the same functions as a diagnosis, at the slices' own resolution. Test slices are those of the
documented splits; none of them was trained on.
"""

from jcs_ct.trials.classification import calibrate as calibrate
from jcs_ct.trials.classification import classification as classification
from jcs_ct.trials.classification import slice_probabilities as slice_probabilities
from jcs_ct.trials.coverage import coverage as coverage
from jcs_ct.trials.explanation import localisation as localisation
from jcs_ct.trials.explanation import shortcut as shortcut
from jcs_ct.trials.makeup import fit_makeup as fit_makeup
from jcs_ct.trials.makeup import makeup as makeup
from jcs_ct.trials.second_look import agreement as agreement
from jcs_ct.trials.segmentation import fit_intervals as fit_intervals
from jcs_ct.trials.segmentation import segmentation as segmentation
from jcs_ct.trials.trial import Trial as Trial
from jcs_ct.trials.trial import check_own_data as check_own_data
from jcs_ct.trials.typicality import fit_usual as fit_usual
from jcs_ct.trials.typicality import typicality as typicality
