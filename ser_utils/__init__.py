"""Speech emotion recognition on unseen speakers: the thin module that the notebooks share.

Arrows point one way: ``corpora → splits``, ``audio → features``, then ``models`` and ``augment`` into ``training →
evaluation → report``; ``study`` serves all of them and imports none. Import the module you need (``from ser_utils
import audio``): this package imports nothing by itself, so that notebooks without a net never load TensorFlow.
"""

__version__ = "0.1.0"
