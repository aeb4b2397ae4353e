"""Writes the audit report of a stored model: one HTML file with everything that is known of its backdoor.

    python scripts/report.py --checkpoint cifar10/resnet20/badnets --out report.html
    python scripts/report.py --checkpoint shapes10/resnet20/blended+ --out - > report.html

What is stored beside the model is taken; what is not is measured on a few images (needs the model's data set).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from command import Parser, add_common, add_data, name_data_anew, run, say, write_json
from tqdm import tqdm

from core.audit.conclusion import conclusion
from core.audit.findings import Audit, audit
from core.audit.report import render
from core.runtime.atomic_files import write_atomically
from core.store.remote import open_store


def main() -> None:
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", required=True, metavar="DATASET/MODEL/ATTACK", help="which model")
    parser.add_argument("--out", required=True, metavar="FILE", help="the HTML file to write; - for stdout")
    add_data(parser)
    add_common(parser)
    options = parser.parse_args()
    target = None if options.out == "-" else Path(options.out)
    if target is not None and target.is_dir():
        raise ValueError(f"out = {options.out!r} is not allowed: it is a folder")
    if target is not None and not target.absolute().parent.is_dir():
        raise ValueError(f"out = {options.out!r} is not allowed: there is no folder {target.absolute().parent}")
    if target is None and str(options.json) == "-":
        raise ValueError("--out - is not allowed with --json -: both would be written to stdout")
    checkpoint = open_store(options.store).checkpoint(options.checkpoint)
    name_data_anew(options, checkpoint.card())
    found: Audit | None = None
    with tqdm(total=100, unit="%", desc=checkpoint.key, bar_format="{l_bar}{bar}| {elapsed} {postfix}") as bar:
        for step in audit(checkpoint, options.device):
            bar.set_postfix_str(step.note, refresh=False)
            bar.update(round(100 * step.done) - bar.n)
            found = step.audit
    assert found is not None
    page = render(found)
    if target is None:
        sys.stdout.write(page)
    else:
        write_atomically(target, page.encode())
        say(options, f"{target}: {len(page.encode()) / 1e6:.2f} MB")
        for sentence in conclusion(found):
            say(options, sentence)
    write_json(options.json, {"key": checkpoint.key, "conclusion": conclusion(found), "notes": list(found.notes)})


if __name__ == "__main__":
    run(main)
