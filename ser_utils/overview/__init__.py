"""Everything side by side, from what the other notebooks saved: families of models, public claims, costs, noise.

Nothing here trains or listens: tables come from saved predictions, from run records and from the facts that trainings
noted about themselves. What a run has not made is called *not run*.
"""

from ser_utils.overview import efficiency, families, plots, public, summaries, words

__all__ = ["efficiency", "families", "plots", "public", "summaries", "words"]
