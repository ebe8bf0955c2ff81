"""Speech emotion recognition on unseen speakers: the thin module that the notebooks share.

Arrows point one way: ``corpora → splits``, ``audio → features``, then ``models`` and ``augment`` into ``training →
evaluation → report``; ``study`` serves all of them and imports none. Import the module you need (``from ser_utils
import audio``): this package imports nothing by itself, so that notebooks without a net never load TensorFlow.
"""

import os
import warnings

__version__ = "0.1.0"

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")  # TensorFlow's remarks about the processor help no reader of a page
warnings.filterwarnings("ignore", message="IProgress not found")  # a progress bar that libraries bring and nobody uses
