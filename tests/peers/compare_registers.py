"""Compares metered energy with the independent register calculator: random meters in one lake.

    python compare_registers.py NENGLIU NENGLIU_GATEWAY [--seed 1] [--meters 40] [--lake FOLDER]

Each line has one meter with some of: modulus and rollovers, replacement, ratio changes, dips, gaps across a month's end.
"""

import argparse
import random
import sys
import tempfile
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

from compare_figures import run, value_of
from energy_plant import Period
from random_plants import Bare, as_toml, plain
from register_calculator import Register, energy

CHINA = timezone(timedelta(hours=8))
FIRST, LAST = datetime(2023, 1, 27, tzinfo=CHINA), datetime(2023, 3, 5, tzinfo=CHINA)
PERIODS = ["2023-02", "2023-01-31", "2023-02-01", "2023-02-10", "2023-02-14", "2023-02-20", "2023-02-28"]


class RandomMeter:
    def __init__(self, id, draw):
        self.id, self.draw = id, draw
        self.resolution = Decimal(draw.choice(["1", "0.1", "0.01"]))
        self.rate = draw.uniform(1, 300) * float(self.resolution)
        self.settings, self.register = [], Register()
        self.index = Decimal(draw.randint(1000, 900_000)) * self.resolution
        self.with_modulus = draw.random() < 0.4
        self.rolled_over = Decimal(0)
        self.events()
        self.readings = self.read()

    def instant(self):
        """Some second of February, or a full hour."""
        seconds = self.draw.randint(0, 27 * 86400)
        if self.draw.random() < 0.4:
            seconds -= seconds % 3600
        return datetime(2023, 2, 1, tzinfo=CHINA) + timedelta(seconds=seconds)

    def events(self):
        if self.with_modulus:
            self.modulus = self.index + Decimal(int(self.rate * 2000 / float(self.resolution))) * self.resolution
            digits = Decimal(10) ** len(str(int(self.modulus)))
            self.index += digits - self.modulus
            self.modulus = digits
            self.settings.append(f"modulus = {plain(digits)}")
            self.register.modulus = Fraction(digits)
        ratio = Decimal(self.draw.choice([1, 20, 40, 80]))
        self.register.ratios = [(None, Fraction(ratio))]
        self.ratio_lines = [f"[[meter.ratio]]\nct = {ratio}"]
        self.ratio_changes = sorted(self.instant() for _ in range(self.draw.choice([0, 0, 0, 1, 2])))
        for at in self.ratio_changes:
            ratio = Decimal(self.draw.choice([30, 60, 100]))
            self.register.ratios.append((int(at.timestamp()), Fraction(ratio)))
            self.ratio_lines.append(f"[[meter.ratio]]\nfrom = {at.isoformat()}\nct = {ratio}")
        self.replaced = self.instant() if not self.with_modulus and self.draw.random() < 0.35 else None
        self.dip = self.instant() if self.draw.random() < 0.2 else None
        self.gaps = []
        if self.draw.random() < 0.5:
            day = self.draw.choice([datetime(2023, 2, 1, tzinfo=CHINA), datetime(2023, 2, 10, tzinfo=CHINA), datetime(2023, 3, 1, tzinfo=CHINA)])
            self.gaps.append((day - timedelta(minutes=self.draw.randint(16, 50)), day + timedelta(minutes=self.draw.randint(16, 50))))

    def read(self):
        readings, at, offset = [], FIRST, timedelta(seconds=self.draw.choice([0, 0, 0, 137]))
        while at <= LAST:
            moment = at + offset
            busy = 1.3 if 7 <= at.hour < 20 else 0.5
            step = (Decimal(str(self.rate * busy * self.draw.uniform(0.8, 1.2))) / self.resolution).quantize(Decimal(1)) * self.resolution
            if self.replaced and moment - timedelta(minutes=15) < self.replaced <= moment:
                old, new = self.index - step + step / 2, Decimal(self.draw.randint(0, 50)) * self.resolution
                old = (old / self.resolution).quantize(Decimal(1)) * self.resolution
                self.register.replacements.append((int(self.replaced.timestamp()), Fraction(old), Fraction(new)))
                self.settings.append(f"[[meter.replacement]]\nat = {self.replaced.isoformat()}\nold_final = {plain(old)}\nnew_initial = {plain(new)}")
                self.index = new + step
            value = self.index
            if self.dip and self.dip <= moment < self.dip + timedelta(minutes=40) and self.is_quiet(moment):
                value = Decimal(0)
            if not any(start < moment < end for start, end in self.gaps):
                readings.append((int(moment.timestamp()), Fraction(value)))
            self.index += step
            if self.with_modulus:
                self.index %= self.modulus
            at += timedelta(minutes=15)
        return readings

    def is_quiet(self, moment):
        """No other event near the dip: what both together mean is another question."""
        near = timedelta(hours=3)
        events = [self.replaced, *self.ratio_changes, *(start for start, _ in self.gaps)]
        return not self.with_modulus and all(event is None or abs(event - moment) > near for event in events)

    def toml(self):
        keys = dict(id=self.id, point=f"acme/one/{self.id}/e", energy_kind="electricity", role="sub", subject=self.id, unit="kWh")
        lines = ["[[meter]]"] + [f"{key} = {as_toml(value)}" for key, value in keys.items()]
        first = [line for line in self.settings if not line.startswith("[[")]
        return "\n".join(lines + first + [line for line in self.settings if line.startswith("[[")] + self.ratio_lines)


def plant_file(meters):
    head = '[plant]\nname = "T"\nenterprise = "acme"\nsite = "one"\ntime_zone = "Asia/Shanghai"\nrule_set = "GB/T 2589"\nedition = "2020"\nfacts = ["facts.csv"]\n[[energy_kind]]\nid = "electricity"\nunit = "kWh"\n'
    subjects = [f'[[subject]]\nid = "{meter.id}"\nkind = "line"\nname = "{meter.id}"\n' for meter in meters]
    return head + "".join(subjects) + "\n".join(meter.toml() for meter in meters) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("nengliu")
    parser.add_argument("gateway")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--meters", type=int, default=40)
    parser.add_argument("--lake")
    arguments = parser.parse_args()
    draw = random.Random(arguments.seed)
    meters = [RandomMeter(f"m{number}", draw) for number in range(arguments.meters)]
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(arguments.lake or folder)
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "lake").exists():
            from readings_lake import make_lake

            readings = {meter.id: [(at * 1000, float(index)) for at, index in meter.readings] for meter in meters}
            make_lake(arguments.nengliu, arguments.gateway, readings, {meter.id: ("kWh", plain(meter.resolution)) for meter in meters}, folder)
        (folder / "plant.toml").write_text(plant_file(meters), encoding="utf-8")
        (folder / "facts.csv").write_text("subject,period,measure,value,unit,note\nacme,2023,purchased:electricity,1,kWh,\n")
        return compare(arguments.nengliu, meters, folder)


def compare(nengliu, meters, folder):
    compared = mismatches = 0
    for period in PERIODS:
        code, figures, said = run(nengliu, "unit-product", period, folder / "plant.toml", folder / "lake")
        if not figures:
            sys.exit(f"{period}: exit code {code} {said}")
        days = Period.parse(period)
        start, end = (int(datetime(day.year, day.month, day.day, tzinfo=CHINA).timestamp()) for day in (days.start, days.end))
        for meter in meters:
            wanted, complete = energy(meter.readings, meter.register, start, end)
            figure = figures.get(f"unit-product/{period}/{meter.id}/electricity/quantity", {})
            found = value_of(figure)
            compared += 1
            # An index at a boundary is rounded to the register's resolution: half a step at either end.
            within = Fraction(meter.resolution) * max(ratio for _, ratio in meter.register.ratios) * 2
            if found is None or abs(found - wanted) > within or figure["complete"] != complete:
                mismatches += 1
                shown = None if found is None else float(found)
                print(f"{period} {meter.id}: expected {float(wanted)} complete {complete}, found {shown} {figure}"[:600])
    print(f"{compared} figures of {len(meters)} meters compared, {mismatches} mismatches")
    return 1 if mismatches else 0


if __name__ == "__main__":
    sys.exit(main())
