"""The live demo: a page in the browser, on this machine alone, for a microphone or any sound file.

:func:`hear` is what the page, its endpoint and notebook 10 call; :func:`running` starts the page and stops it. Nothing
here imports Gradio or TensorFlow before it is needed; :mod:`ser_utils.app.first` trains the first net.
"""

from ser_utils.app.hearing import Heard, Settings, hear
from ser_utils.app.nets import Nets
from ser_utils.app.serving import Served, ask, main, running
from ser_utils.app.sounds import Sound, example, read

__all__ = ["Heard", "Nets", "Served", "Settings", "Sound", "ask", "example", "hear", "main", "read", "running"]
