"""Guided lessons: a folder is a lesson, a TOML file in it is a step, in order of file names.

To write one, make a folder of folders, name it in ``$TRIGGER_LESSONS``, and put a file for each step into
``$TRIGGER_LESSONS/<lesson>/``, such as ``03-move.toml``::

    title = "Move it"
    text = "This trigger is in the corner. Let us move it up by one pixel."
    scene = "pad"                       # what is shown: see dashboard.lessons.scenes
    state = {down = -1}                 # and how: the fields that the scene declares
    question = "Of 100 such images, how many will still be taken for {target}?"
    kind = "slider"                     # slider (0 to 100), choice, or none
    truth = "asr_here"                  # the measured number that the guess is compared with
    answer = "Moved by one pixel, {asr_here} are taken for {target} ({asr_here:n}); before, {asr_home} were."
    notes = "Seen by the teacher: ?notes in the address."

A *choice* has ``options`` (2 to 6 texts). Which one is right is decided by a measured number, ``truth``, and by
``bounds``, in percent, between the options; or, where there is nothing to measure, by its number, ``correct``.
A step of the scene ``questions`` has no question of its own but up to six tables ``[[quiz]]``, each with ``question``,
``options``, an ``answer``, and ``truth`` and ``bounds`` or ``correct``.

Names in braces are filled in when the step is shown. What every text may use (the target class and so on) is listed
in :data:`dashboard.lessons.words.FACTS`; an answer may also use the numbers that its scene measures for its state
(``measures`` of the scene). ``{name}`` is a percentage, ``{name:n}`` says of how many images, ``{name:of100}`` is a
whole number of a hundred. No number is typed in: another model on the page gives other sentences.

A file that is not like this is refused with one sentence for each fault, and the other lessons stay.
"""
