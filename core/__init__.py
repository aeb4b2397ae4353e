"""Backdoor triggers in image classifiers: attacks, defenses, and when the backdoor still fires.

>>> from core.inference import Predictor
>>> from core.store import Store
>>> from core.sweeps import attacked, location_sweep, success_at
>>> checkpoint = Store().checkpoint("shapes10/resnet20/badnets")
>>> card, predict = checkpoint.card(), Predictor(checkpoint.model()).predict
>>> trigger, target = card.attack_object.trigger(card.shape), card.attack_object.target
>>> images = attacked(card.dataset_object.load("test", 300), target)  # those that are not of the target class
>>> print(success_at(predict, images, trigger, target))
100.0% (98.6-100.0, 267 of 267)
>>> print(success_at(predict, images, trigger.at(trigger.row - 1, trigger.col), target))
0.0% (0.0-1.4, 0 of 267)
>>> *_, found = location_sweep(predict, images[:8], trigger, target)  # every place, coarse to fine
>>> found.rate.shape
(30, 30)
"""
