"""What the command line needs of training, in one import."""

from jcs_ct.training.config import load_config, own_config
from jcs_ct.training.export import ship
from jcs_ct.training.files import RunPaths
from jcs_ct.training.quantising import quantise
from jcs_ct.training.run import train

__all__ = ["RunPaths", "load_config", "own_config", "quantise", "ship", "train"]
