"""Generators of emotional speech, and the honest test of what they are good for.

:mod:`mel` is the front end; :mod:`schedule` the mathematics of diffusion; :mod:`vae`, :mod:`diffusion` and :mod:`gan`
are the generators, built from :mod:`nets` and :mod:`blocks`, trained by :mod:`trainer` on :mod:`patches`; :mod:`condition`
tells them the emotion; :mod:`gate` keeps test speakers out and judges independent; :mod:`measures` compares what is made
with what is real; :mod:`worlds` makes one fold's nets and clips, and :mod:`trials` asks whether they help.

Nothing is imported here: the mathematics, the gate and the measures work without Keras.
"""
