"""Generators of emotional speech, and the honest test of what they are good for.

:mod:`mel` is the front end; :mod:`schedule` the mathematics of diffusion; :mod:`vae`, :mod:`diffusion` and :mod:`gan`
are the generators, built from :mod:`nets` and :mod:`blocks`, trained by :mod:`trainer` on :mod:`patches`;
:mod:`condition` tells them the emotion; :mod:`makers` asks all for clips in one way. :mod:`gate` keeps test speakers
out and judges independent; :mod:`measures` compares what is made with what is real. :mod:`worlds` holds one fold's nets
and clips, :mod:`asked` what they are asked, and :mod:`experiments` brings folds and seeds together.

Nothing is imported here: the mathematics, the gate and the measures work without Keras.
"""
