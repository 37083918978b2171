"""A readout as it was at a step, made again from the audits of a later one."""

import torch

from interp.credit import ReadoutCredit
from interp.credit.audits import AuditFit
from interp.credit.relearning import relearned
from interp.readouts import Columns, Labels, Likelihood


def audits(*kinds: tuple[float, bool]) -> Labels:
    x_AF = torch.tensor([[x, 2 * x] for x, _ in kinds]).double()
    return Labels(
        Columns(x_AF, (2,)), torch.tensor([is_valid for _, is_valid in kinds]), torch.ones(len(kinds)).double()
    )


def test_a_step_before_one_without_audits_has_the_fit_of_its_own_time():
    readout = AuditFit(Labels(), 0.1, 100)
    readout.add(audits((-1.0, True), (-3.0, False)), 2)  # step 2
    readout.refit()
    readout.add(audits((-2.0, True), (-4.0, True)), 2)  # step 3, between fits
    at_3 = readout.state()
    readout.refit()  # step 4, without a success
    at_4 = readout.state()
    assert not torch.equal(at_3["fit.weight_F"], at_4["fit.weight_F"])
    scheme = ReadoutCredit([Likelihood()], refit_every=2)
    for audited, at, is_last in (([0, 0, 2, 4], at_3, False), ([0, 0, 2, 4, 4], at_4, True)):
        again = relearned(scheme, at_4, audited, [0], is_last=is_last).state()
        assert torch.equal(again["fit.weight_F"], at["fit.weight_F"]) and int(again["n_audited"]) == 4
