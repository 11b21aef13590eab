"""The table of a run of gpu.py: ours and PyTorch's rates, times, memory and errors side by side."""
import statistics

BYTES = {"bf16": 2, "f16": 2, "f32": 4}


def cells(args, lines):
    """Rows (model, label, unit, digits, more is better) and their values by column, a side and how it computes."""
    rows = {}

    def put(model, label, unit, column, value, digits=1, better=None):
        if value is not None:
            rows.setdefault((model, label, unit, digits, better), {})[column] = value

    for model in args.models:
        of_model = [line for line in lines if line.get("model") == model and "failed" not in line]
        known = {line["measure"]: line for line in of_model if line["measure"] in ("reference", "traffic")}
        for batch in args.batches:
            for line in of_model:
                if line["measure"] == "encode" and line["batch"] == batch:
                    rate = batch / statistics.median(line["seconds"])
                    put(model, f"encode, {batch} a call", "chips/s", column(line), rate, 2, True)
        for line in best_encodes(of_model):
            put(model, "encode, at the best of these", "chips/s", column(line), rate_of(line), 2, True)
        for line in best_encodes(of_model):
            put(model, "peak memory at that", "MB", column(line), line["peak_mb"], 0, False)
        for line in best_encodes(of_model, "device_seconds"):
            put(model, "encode, nothing copied from or to the host", "chips/s", column(line),
                rate_of(line, "device_seconds"), 2)
        for line in best_encodes(of_model):
            for label, share in shares(line, lines, known):
                put(model, label, "%", column(line), 100 * share)
        for line in of_model:
            if line["measure"] == "prompts":
                count = line["prompts"]
                label = "answer one point" if count == 1 else f"answer one of {count} points asked together"
                put(model, label, "ms", column(line), 1e3 * statistics.median(line["seconds"]) / count, 2, False)
        for line in of_model:
            if line["measure"] == "agreement" and line["features"]:
                put(model, "features, ‖Δ‖ / ‖f32‖ of the worst map", "10⁻³", column(line), 1e3 * max(line["features"]), 2)
        for line in of_model:
            if line["measure"] == "agreement":
                put(model, "masks, lowest IoU with f32", "", column(line), line["iou_lowest"], 3)
        for line in of_model:
            if line["measure"] == "agreement":
                put(model, "masks, median IoU", "", column(line), line["iou_median"], 3)
        firsts = {}
        for line in of_model:
            if line["measure"] == "encode":
                firsts.setdefault(column(line), line["first_s"])
        for where, seconds in firsts.items():
            put(model, "the first call", "s", where, seconds)
    return rows


def column(line):
    return line["side"], line.get("precision") or line.get("mode")


def rate_of(line, seconds="seconds"):
    return line["batch"] / statistics.median(line[seconds])


def best_encodes(lines, seconds="seconds"):
    """Of each column the line of the batch size with the highest rate."""
    best = {}
    for line in lines:
        if line["measure"] == "encode" and line.get(seconds):
            other = best.setdefault(column(line), line)
            if rate_of(line, seconds) > rate_of(other, seconds):
                best[column(line)] = line
    return best.values()


def shares(line, lines, known):
    """How much of the two rates that the device can do an encoder uses."""
    bounds = next((line for line in lines if line["measure"] == "bounds" and "failed" not in line), {})
    how = column(line)[1].partition("-")[0]
    if "reference" in known and f"{how}_flops" in bounds:
        operations = known["reference"]["operations_of_chip"] * rate_of(line)
        yield "share of the device's matrix rate", operations / bounds[f"{how}_flops"]
    if "traffic" in known and "copy_bytes" in bounds:
        values = known["traffic"]["activations"] + known["traffic"]["weights"] / line["batch"]
        yield "share of the device's copy rate", values * BYTES[how] * rate_of(line) / bounds["copy_bytes"]


def table(args, lines):
    columns = [("geosam", how) for how in args.precisions] + [("PyTorch", how) for how in args.modes]
    out = ["| | unit | " + " | ".join(f"{side} {how}" for side, how in columns) + " | × PyTorch |",
           "|---|---|" + "--:|" * (len(columns) + 1)]
    for (model, label, unit, digits, better), values in cells(args, lines).items():
        shown = [f"{values[where]:.{digits}f}" if where in values else "–" for where in columns]
        out.append(f"| {model}: {label} | {unit} | {' | '.join(shown)} | {ratio(values, better)} |")
    return out


def ratio(values, better):
    """Best of ours to best of PyTorch's, above 1 where ours is better."""
    if better is None:
        return ""
    best = max if better else min
    ours, theirs = ([v for (side, _), v in values.items() if side == which] for which in ("geosam", "PyTorch"))
    if not ours or not theirs:
        return "–"
    return f"{best(ours) / best(theirs) if better else best(theirs) / best(ours):.2f}"


def bounds(lines):
    """What the device itself can do, and what the models ask of it."""
    for line in lines:
        if line["measure"] == "bounds":
            rates = [f"{how} {line[f'{how}_flops'] / 1e12:.3g}" for how in BYTES if f"{how}_flops" in line]
            yield f"matrix products of {line['size']} × {line['size']} with PyTorch: {', '.join(rates)} TFLOP/s"
            yield f"copies in its memory: {line['copy_bytes'] / 1e9:.4g} GB/s, read and written"
            copies = [f"{key[:-6].replace('_', ' ')} {line[key] / 1e9:.3g}" for key in line
                      if key.startswith("to_") and key.endswith("_bytes")]
            if copies:
                yield f"copies from and to the host's memory: {', '.join(copies)} GB/s"
    models = {}
    for line in lines:
        if line["measure"] in ("reference", "traffic") and "failed" not in line:
            models.setdefault(line["model"], {}).update(line)
    for model, line in models.items():
        asked = []
        if "operations_of_chip" in line:
            asked += [f"{line['operations_of_chip'] / 1e9:.0f} GFLOP a chip", f"{line['operations_of_prompt'] / 1e9:.1f} GFLOP a prompt"]
        if "weights" in line:
            asked.append(f"{line['activations'] / 1e6:.0f} million values of activations a chip, "
                         f"{line['weights'] / 1e6:.0f} million weights a call")
        yield f"{model}: {', '.join(asked)}"


def readme(args, lines, problems, facts):
    out = [f"# {facts['date']}, {facts['device']}", "",
           f"`{facts['command']}`: medians. The last column compares the best of ours with PyTorch's best; above 1 ours is "
           "better.", ""]
    out += table(args, lines)
    out += ["", "Chips start in the host's memory and features end there in f32, prompts become masks, scores and logits "
            "there, on both sides. Ours is compared with our CPU in f32, PyTorch with itself in f32 on the device, on "
            "random weights. PyTorch's f32 is without TF32, one chip a call; ours may "
            "multiply f32 in TF32 on a GPU. Memory is what the process adds to the "
            "device's (a CPU: its resident memory) from the first call on. The first call of ours compiles and tunes "
            "kernels, unless an earlier run left them in the user's cache folder.", ""]
    out += ["The shares are of what was measured in this run; a matrix product, convolution or attention is taken to read "
            "its operands and write its result once, and everything else to cost nothing:", ""]
    out += [f"- {line}" for line in bounds(lines)]
    out += ["", "What failed or was not run:", ""] if problems else ["", "Everything ran.", ""]
    out += [f"- {problem['step'].strip()}: {problem['reason']}" for problem in problems]
    out += ["", "Measured with:", ""] if problems else ["Measured with:", ""]
    out += [f"- {key}: {value}" for key, value in facts.items() if key not in ("date", "command")]
    return "\n".join(out) + "\n"
