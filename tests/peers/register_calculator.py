"""Energy between two instants from the readings of one register, written from the rules (C3 of the worked examples) alone.

A reading is (seconds, index). Ratio is CT x PT. Nothing is rounded: an index at a boundary is linear between its neighbours,
so the parts of a period add up to the register's difference.
"""

from dataclasses import dataclass, field
from fractions import Fraction


@dataclass
class Register:
    modulus: Fraction | None = None
    ratios: list = field(default_factory=lambda: [(None, Fraction(1))])  # (from seconds or None, ratio), in the order of time
    replacements: list = field(default_factory=list)  # (at seconds, old final, new initial)
    rise_per_hour_max: Fraction | None = None  # of the index x ratio


def without_dips(readings, register):
    """Readings that fell and later came back to or above the last trusted index are put aside (R6)."""
    kept, events = [], [at for at, _, _ in register.replacements]
    for position, (at, index) in enumerate(readings):
        if kept and index < kept[-1][1] and not any(kept[-1][0] < event <= at for event in events):
            until = min([event for event in events if event > at], default=float("inf"))
            wraps = register.modulus is not None and is_plausible(index + register.modulus - kept[-1][1], kept[-1][0], at, register)
            comes_back = any(later >= kept[-1][1] for moment, later in readings[position:] if moment < until)
            if comes_back and not wraps:
                continue
        kept.append((at, index))
    return kept


def is_plausible(rise, start, end, register):
    """Below the stated bound; without one, not more than half of the modulus: a bigger rise may as well be a reset."""
    if register.rise_per_hour_max is not None:
        return rise * ratio_at(register, start) <= register.rise_per_hour_max * Fraction(end - start, 3600)
    return rise * 2 <= register.modulus


def ratio_at(register, at):
    valid = Fraction(1)
    for start, ratio in register.ratios:
        if start is None or start <= at:
            valid = ratio
    return valid


def rises(readings, register):
    """(start, end, rise of the index) of each stretch in which the index goes on by itself."""
    for (start, before), (end, after) in zip(readings, readings[1:]):
        events = [event for event in register.replacements if start < event[0] <= end]
        for at, old_final, new_initial in events:
            yield start, at, known_rise(start, before, at, old_final, register)
            start, before = at, new_initial
        if end > start or events:
            yield start, end, known_rise(start, before, end, after, register)


def known_rise(start, before, end, after, register):
    if after >= before:
        return after - before
    if register.modulus is not None and is_plausible(after + register.modulus - before, start, end, register):
        return after + register.modulus - before
    return None


def energy(readings, register, start, end):
    """(what is known from `start` to `end`, whether all of it is known). A fall that nothing explains is an open gap: its
    energy is unknown, never 0 and never the new index."""
    total, complete = Fraction(0), True
    for begin, finish, rise in rises(without_dips(sorted(readings), register), register):
        # A reading at the very instant of a replacement: what it shows above the initial index belongs to that instant.
        if (finish <= start and begin < start) or end <= begin:
            continue
        if rise is None:
            complete = False
            continue
        if begin == finish:
            total += rise * ratio_at(register, begin)
            continue
        # Split at the instants where the ratio changes (trap 7).
        cuts = sorted({max(begin, start), min(finish, end)} | {at for at, _ in register.ratios if at and max(begin, start) < at < min(finish, end)})
        for left, right in zip(cuts, cuts[1:]):
            total += rise * Fraction(right - left, finish - begin) * ratio_at(register, left)
    return total, complete


def check_worked_examples():
    """R1 to R13 of C3, but for those about storage."""
    quarter, hundred_thousand, million = 900, Fraction(100_000), Fraction(1_000_000)
    rollover = [(0, Fraction("99990.5")), (quarter, Fraction("12.3"))]
    assert energy(rollover, Register(hundred_thousand, [(None, Fraction(8000))]), 0, quarter) == (174_400, True)
    split = [(0, Fraction(15200)), (330 * 60, Fraction(15266))]
    assert (energy(split, Register(), 0, 6600), energy(split, Register(), 6600, 19800)) == ((22, True), (44, True))
    exchanged = Register(None, [(None, Fraction(40)), (450, Fraction(60))], [(450, Fraction(81250), Fraction(5))])
    assert energy([(0, Fraction(81000)), (quarter, Fraction(130))], exchanged, 0, quarter) == (17_500, True)
    fall = [(0, Fraction(999_984)), (quarter, Fraction(20))]
    assert energy(fall, Register(), 0, quarter) == (0, False)
    assert energy(fall, Register(million), 0, quarter) == (36, True)
    dip = [(0, Fraction(15_500_000)), (quarter, Fraction(0)), (1800, Fraction(15_500_040))]
    assert energy(dip, Register(), 0, 1800) == (40, True)
    changed = Register(None, [(None, Fraction(40)), (quarter, Fraction(60))])
    assert energy([(0, Fraction(100)), (quarter, Fraction(101)), (1800, Fraction(103))], changed, 0, 1800) == (160, True)
    bounded = Register(million, rise_per_hour_max=Fraction("332.4"))
    assert energy([(0, Fraction(500_000)), (quarter, Fraction(20))], bounded, 0, quarter) == (0, False)


if __name__ == "__main__":
    check_worked_examples()
    print("the worked examples agree")
