"""A strict reader of the Prometheus text format, version 0.0.4."""

import re

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\\\|\\"|\\n)*)"(,|$)')
SAMPLE = re.compile(rf"({NAME})(?:\{{(.*)\}})? (\S+)$")
NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?(?:e[+-]?\d+)?|Inf)$|NaN$")


class Metrics:
    """`samples`: (name, sorted labels) → value. Raises AssertionError for any fault."""

    def __init__(self, data):
        assert data.endswith(b"\n") and b"\r" not in data, "the last byte must be a line feed"
        self.samples, self.types, self.helps = {}, {}, {}
        closed, family = set(), None
        for line in data.decode("utf-8").split("\n")[:-1]:
            assert line == line.strip() and line, f"blank line or blanks: {line!r}"
            if line.startswith("# "):
                kind, name, text = line[2:].split(" ", 2)
                table = {"HELP": self.helps, "TYPE": self.types}[kind]
                assert name not in table, f"second {kind} of {name}"
                table[name] = text
                if name != family:
                    closed.add(family)
                    assert name not in closed, f"{name} is not in one piece"
                    family = name
                if kind == "TYPE":
                    assert text in ("counter", "gauge", "histogram") and name in self.helps
                continue
            self._sample(line, family)
        self._check_histograms()

    def _sample(self, line, family):
        found = SAMPLE.match(line)
        assert found, f"no sample: {line!r}"
        name, labels, value = found.groups()
        assert NUMBER.match(value), line
        pairs, at = [], 0
        while labels and at < len(labels):
            pair = LABEL.match(labels, at)
            assert pair, f"labels: {line!r}"
            pairs.append((pair[1], pair[2]))
            at = pair.end()
        assert len({k for k, _ in pairs}) == len(pairs), line
        base = name
        if self.types.get(family) == "histogram":
            base = re.sub("_(bucket|sum|count)$", "", name)
        assert base == family and family in self.types, f"{name} stands under {family}"
        assert self.types[family] != "counter" or name.endswith("_total"), name
        key = (name, tuple(sorted(pairs)))
        assert key not in self.samples, f"twice: {line!r}"
        self.samples[key] = float(value)
        assert self.types[family] == "gauge" or self.samples[key] >= 0, line

    def _check_histograms(self):
        series = {}
        for (name, labels), value in self.samples.items():
            if name.endswith("_bucket"):
                rest = tuple(p for p in labels if p[0] != "le")
                bound = float(dict(labels)["le"].replace("+Inf", "inf"))
                series.setdefault((name[:-7], rest), []).append((bound, value))
        for (name, rest), buckets in series.items():
            buckets.sort()
            counts = [c for _, c in buckets]
            assert counts == sorted(counts), f"{name} is not cumulative"
            assert buckets[-1][0] == float("inf"), f"{name} has no +Inf"
            assert counts[-1] == self.samples[(name + "_count", rest)], name
            assert (name + "_sum", rest) in self.samples, name

    def value(self, name, **labels):
        return self.samples.get((name, tuple(sorted(labels.items()))), 0.0)

    def sum(self, name, **labels):
        return sum(v for (n, have), v in self.samples.items()
                   if n == name and set(labels.items()) <= set(have))
