"use strict";
// The page: reads the data inside it and writes each section. Text only ever becomes text nodes.
const R = JSON.parse(document.getElementById("data").textContent);
const { number, percent } = Charts;
const $ = id => document.getElementById(id);

function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter(c => c !== null && c !== undefined));
  return node;
}

const count = n => (n === null || n === undefined ? "–" : n.toLocaleString("en-GB"));
const interval = (e, f = number) => (!e || e.value === null ? "–" : e.low === null ? f(e.value) : `${f(e.value)} (${f(e.low)} to ${f(e.high)})`);
const sentences = notes => notes.map(n => n[0].toUpperCase() + n.slice(1) + (/[.!?]$/.test(n) ? "" : ".")).join(" ");
const tint = c => (c.settings.kind === "L1" ? "l1" : "batchtopk");
const svgMark = (name, colour) => {
  const paths = { circle: "M5 0A5 5 0 1 1 4.99 0Z", diamond: "M5 0L10 5L5 10L0 5Z", triangle: "M5 0L10 10L0 10Z", square: "M0 0H10V10H0Z", frame: "M0 0H10V10H0ZM2 2V8H8V2Z", cross: "M0 0L2 0L5 3L8 0L10 0L10 2L7 5L10 8L10 10L8 10L5 7L2 10L0 10L0 8L3 5L0 2Z", line: "M0 4H10V6H0Z", hollow: "M5 0A5 5 0 1 1 4.99 0ZM5 2A3 3 0 1 0 5.01 2Z" };
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 10 10");
  svg.setAttribute("aria-hidden", "true");
  svg.setAttribute("class", "mark");
  const path = svg.appendChild(document.createElementNS("http://www.w3.org/2000/svg", "path"));
  path.setAttribute("d", paths[name]);
  path.setAttribute("fill-rule", "evenodd");
  path.style.fill = `var(--${colour})`;
  return svg;
};
const markOf = c => svgMark(tint(c) === "l1" ? "diamond" : "circle", tint(c));
const named = c => el("span", { class: "named" }, markOf(c), c.label);
const key = items => el("ul", { class: "key" }, ...items.map(([mark, colour, text]) => el("li", {}, svgMark(mark, colour), text)));

// A table from columns { name, get, num, title } and rows; it scrolls inside itself.
function table(label, columns, rows, options = {}) {
  const head = el("tr", {}, ...columns.map(c => el("th", { scope: "col", class: c.num && "num", title: c.title }, c.name)));
  const body = el("tbody", {}, ...rows.map(r => tableRow(columns, r)));
  return el("div", { class: "scroll" + (options.tall ? " tall" : ""), tabindex: "0", role: "region", "aria-label": label }, el("table", {}, options.caption && el("caption", {}, options.caption), el("thead", {}, head), body));
}
function tableRow(columns, row) {
  return el("tr", {}, ...columns.map((c, i) => {
    const value = c.get(row);
    return el(i === 0 ? "th" : "td", { scope: i === 0 && "row", class: [c.num && "num", c.mono && "mono", c.wrap && "wrap"].filter(Boolean).join(" ") || null }, value === null || value === undefined ? "–" : value);
  }));
}
const toggled = (summary, ...content) => el("details", { class: "data" }, el("summary", {}, summary), ...content);
const says = (section, sentences) => $(section).append(...sentences.map(text => el("p", { class: "says" }, text)));
const missing = (section, c, what) => $(section).append(el("p", { class: "missing" }, `${c.label}: ${what}.`));
const chart = (parent, build, height, summary) => Charts.mount(parent.appendChild(el("div")), build, height, summary);

// Sections that begin closed draw their charts when they are opened.
function lazily(details, fill) {
  const once = () => { if (details.open && !details.dataset.filled) { details.dataset.filled = "1"; fill(); } };
  details.addEventListener("toggle", once);
  once();
  return details;
}

const edits = { none: "none (base activations)", base_model: "the base model itself", template: "chat’s template tokens", all: "all latents", error: "all but the latents (error)", replace_control: "control: shared latents", add_control: "control: shared latents, added" };
function editName(edit) {
  if (edits[edit]) return edits[edit];
  const m = /^(replace|add)_(best|worst)_(norm|scaling)$/.exec(edit);
  return m ? `${m[2]} half by ${m[3] === "norm" ? "norm" : "scaling"}${m[1] === "add" ? ", added" : ""}` : edit.replaceAll("_", " ");
}
const subsets = { k_first: "first nine tokens of each answer", all: "all answer tokens", post_k_first: "the other answer tokens" };

const clearAuc = 0.8;

function answer() {
  const a = R.answer;
  $("kicker").textContent = `Block ${a.layer}${a.blocks ? ` of ${a.blocks}` : ""} (from 0) · ${count(a.tokens)} tokens · ${a.date.slice(0, 10)}`;
  const box = $("findings");
  box.className = "findings";
  for (const c of R.crosscoders) {
    const figure = (big, small) => el("div", { class: "figure" }, el("b", {}, big), el("span", {}, small));
    const all = c.norms?.all, verdicts = c.scaling?.verdicts;
    const edit = name => c.effects?.edits.find(e => e.edit === name && e.subset === "all");
    const best = edit("replace_best_scaling"), worst = edit("replace_worst_scaling");
    const behaviours = c.behaviours?.rows.filter(r => r.auc && !r.tooFew && !r.against) ?? [];
    const tracked = behaviours.filter(r => r.tracks);
    const told = c.behaviours?.candidatesAreSurvivors ? [`${tracked.filter(r => r.auc.value >= clearAuc).length}`, `of ${behaviours.length} behaviours told apart by a survivor (AUC of ${number(clearAuc)} or more); ${tracked.length} above shuffled labels`]
      : ["0", `of ${behaviours.length} behaviours tracked: there is no survivor`];
    box.append(el("div", { class: "finding" },
      el("div", { class: "who" }, markOf(c), c.label),
      all ? figure(count(all.chatOnly), `of ${count(all.chatOnly + all.baseOnly + all.shared + all.other)} latents look chat-only by norm`) : figure("–", c.missing.norms ?? "no latents"),
      verdicts ? figure(count(verdicts.chatSpecific), `survive${verdicts.chatSpecific === 1 ? "s" : ""} Latent Scaling${verdicts.undecided ? `, ${count(verdicts.undecided)} undecided` : ""}`) : figure("–", c.missing.scaling ?? "not scaled"),
      best && !best.tooFew && best.gapShare ? figure(percent(best.gapShare.value), `of the KL gap recovered by the best half (${percent(best.gapShare.low)} to ${percent(best.gapShare.high)}); worst half ${percent(worst?.gapShare?.value)}`)
        : figure("–", best?.tooFew ?? c.missing.effects ?? "share of the KL gap not measured"),
      behaviours.length ? figure(...told) : figure("–", c.missing.behaviours ?? "too few labelled chats")));
  }
}

function compared() {
  const s = $("compared"), C = R.comparison;
  says("compared", R.says.compared);
  s.append(el("h3", {}, "Crosscoders"));
  s.append(table("Crosscoders", [
    { name: "", get: c => named(c) },
    { name: "latents", num: true, get: c => count(c.settings.latents) },
    { name: "k or μ", num: true, get: c => (c.settings.k !== null ? `k ${count(c.settings.k)}` : c.settings.mu !== null ? `μ ${c.settings.mu}` : null) },
    { name: "steps × batch", num: true, get: c => (c.settings.loaded ? "loaded" : c.settings.steps === null ? null : `${count(c.settings.steps)} × ${count(c.settings.batch)}`) },
    { name: "L0", num: true, title: "active latents a token", get: c => number(c.settings.l0, 1) },
    { name: "dead", num: true, get: c => percent(c.settings.deadShare) },
    { name: "variance explained", num: true, title: "pooled over all validation tokens", get: c => percent(c.settings.fvePooled) },
    ...C.models.map((m, i) => ({ name: m.name, num: true, title: `variance explained in the ${m.name} model`, get: c => percent(c.settings.fveByModel[i]) })),
    { name: "mean of batches", num: true, title: "variance explained as a mean of batches, as published", get: c => percent(c.settings.fveMeanOfBatches) },
    { name: "threshold", num: true, get: c => number(c.settings.threshold, 3) },
    { name: "n tokens", num: true, get: c => count(c.settings.validationTokens) },
  ], R.crosscoders, { caption: "A crosscoder is one dictionary for both models [2]; BatchTopK keeps the strongest pairs of a batch [3]. L0 is active latents a token; L0, dead share and variance explained are measured on n held-out tokens." }));
  const pair = s.appendChild(el("div", { class: "pair" }));
  pair.append(el("div", {}, el("h3", {}, "Models"), table("Models", [
    { name: "", get: m => el("span", { class: "named" }, svgMark("square", m.role), m.role) },
    { name: "folder", get: m => m.name }, { name: "family", get: m => m.family }, { name: "blocks", num: true, get: m => (m.blocks ? count(m.blocks) : null) },
    { name: "width", num: true, get: m => (m.width ? count(m.width) : null) }, { name: "hash", mono: true, get: m => m.seal.slice(0, 16) },
  ], C.checkpoints)));
  pair.append(el("div", {}, el("h3", {}, "Activations"), table("Activations", [
    { name: "", get: m => el("span", { class: "named" }, svgMark("square", m.name), m.name) }, { name: "norm (rms)", num: true, get: m => number(m.norm, 2) },
    { name: "γ", num: true, title: "|mean| / |standard deviation| over the width", get: m => number(m.gamma, 3) }, { name: "n tokens", num: true, get: m => count(m.tokens) },
  ], C.models)));
  pair.append(el("div", {}, el("h3", {}, "Text"), table("Text", [
    { name: "source", get: t => t.source }, { name: "used for", get: t => t.split }, { name: "texts", num: true, get: t => count(t.documents) }, { name: "tokens", num: true, get: t => count(t.tokens) },
  ], C.texts)));
  pair.append(el("div", {}, el("h3", {}, "Roles"), table("Roles", [
    { name: "role", get: r => r.role }, { name: "tokens", num: true, get: r => count(r.tokens) }, { name: "share", num: true, get: r => percent(r.share) },
  ], C.roles, { caption: "The end-of-turn token of an answer counts as template and as assistant." })));
}

function norms() {
  const s = $("norms");
  says("norms", R.says.norms);
  s.append(el("p", { class: "note" }, "Δ-norm compares the lengths of a latent’s two decoder rows. At 0.5 both models use it alike, at 1 only the chat model does. Training itself can push it there, which is what Latent Scaling tests. The vertical axis is logarithmic, with zero at its foot; the bars of the survivors count from zero too."));
  s.append(key([["square", "base", "base-only (0 to 0.1)"], ["square", "shared", "shared (0.4 to 0.6)"], ["square", "chat", "chat-only (0.9 to 1)"], ["square", "faint", "other"], ["square", "ink", "survives Latent Scaling"]]));
  const there = R.crosscoders.filter(c => c.norms);
  const most = Math.max(1, ...there.flatMap(c => c.norms.bins)), mostTop = Math.max(1, ...there.flatMap(c => c.norms.topBins));
  for (const c of R.crosscoders) {
    if (!c.norms) { missing("norms", c, c.missing.norms); continue; }
    s.append(el("h3", {}, markOf(c), c.label));
    const a = c.norms.all;
    chart(s, Charts.norms(c.norms, most, mostTop), Charts.norms.height, `Histogram of the relative decoder norm of ${c.label}: ${a.baseOnly} base-only, ${a.shared} shared, ${a.chatOnly} chat-only, ${a.other} other latents.`);
  }
  if (there.length) {
    s.append(toggled("Table: classes and bins",
      table("Classes", [
        { name: "crosscoder", get: r => r[0] }, { name: "latents", get: r => r[1] }, { name: "chat-only", num: true, get: r => count(r[2].chatOnly) }, { name: "base-only", num: true, get: r => count(r[2].baseOnly) },
        { name: "shared", num: true, get: r => count(r[2].shared) }, { name: "other", num: true, get: r => count(r[2].other) }, { name: "n", num: true, get: r => count(r[2].chatOnly + r[2].baseOnly + r[2].shared + r[2].other) },
      ], there.flatMap(c => [[c.label, "all", c.norms.all], [c.label, "alive", c.norms.alive]])),
      table("Bins", [
        { name: "Δ-norm", get: i => `${number(i / 100)} to ${number((i + 1) / 100)}` },
        ...there.flatMap(c => [{ name: c.label, num: true, get: i => count(c.norms.bins[i]) }, { name: "survivors", num: true, get: i => count(c.norms.survivors[i]) }]),
      ], [...Array(100).keys()].filter(i => there.some(c => c.norms.bins[i])), { tall: true })));
  }
}

const verdictColumns = [
  { name: "", get: c => named(c) },
  { name: "chat-only by norm", num: true, get: c => count(sum(c.scaling.verdicts)) },
  { name: "chat-specific", num: true, get: c => count(c.scaling.verdicts.chatSpecific) },
  { name: "complete shrinkage", num: true, get: c => count(c.scaling.verdicts.completeShrinkage) },
  { name: "decoupling", num: true, get: c => count(c.scaling.verdicts.decoupling) },
  { name: "both", num: true, get: c => count(c.scaling.verdicts.both) },
  { name: "undecided", num: true, get: c => count(c.scaling.verdicts.undecided) },
  { name: "median ν-error", num: true, get: c => number(c.scaling.errorMedian) },
  { name: "median ν-reconstr.", num: true, get: c => number(c.scaling.reconstructionMedian) },
  { name: "n tokens", num: true, get: c => count(c.scaling.tokens) },
];
const sum = v => v.chatSpecific + v.completeShrinkage + v.decoupling + v.both + v.undecided;

function scaling() {
  const s = $("scaling");
  says("scaling", R.says.scaling);
  s.append(el("p", { class: "note" }, "How well does a latent’s chat direction, fired as the crosscoder fires it, fit the base model? ν-error asks in what the crosscoder failed to explain of the base model: high means complete shrinkage, the base half was only pushed to zero. ν-reconstruction asks in what other latents explain of it: high means decoupling, the base model has the same thing split over other latents. Near zero on both: chat-specific (ν-error below 0.2 and ν-reconstruction below 0.5) [1]."));
  const there = R.crosscoders.filter(c => c.scaling);
  if (there.length) {
    s.append(table("Verdicts", verdictColumns, there, { caption: "Undecided: no number, or fewer than 50 activations. Standard errors (table below, and at each point) by jackknife over 32 blocks of documents." }));
    s.append(key([["circle", "chat", "chat-specific"], ["triangle", "chat", "complete shrinkage"], ["diamond", "chat", "decoupling"], ["cross", "chat", "both"], ["hollow", "chat", "undecided"], ...(there.some(c => c.scaling.belowNorm) ? [["frame", "ink", "passes both, Δ-norm below 0.9"]] : []), ["circle", "shared", "shared latents, a sample"]]));
  }
  const pair = s.appendChild(el("div", { class: "pair" }));
  for (const c of R.crosscoders) {
    if (!c.scaling) { missing("scaling", c, c.missing.scaling); continue; }
    const points = c.scaling.points, judged = points.filter(p => p.verdict !== "shared"), chatOnly = judged.filter(p => p.verdict !== "passes below 0.9");
    const shared = points.length - judged.length;
    const box = pair.appendChild(el("div", {}, el("h3", {}, markOf(c), c.label)));
    if (!points.length) { box.append(el("p", { class: "missing" }, "No latent has both ratios: nothing to draw.")); continue; }
    chart(box, Charts.scatter(points), Charts.scatter.height, `Scatter of nu-error against nu-reconstruction of ${c.label}: ${chatOnly.length} chat-only latents, ${c.scaling.verdicts.chatSpecific} of them inside both thresholds, ${c.scaling.belowNorm} below the norm that pass both, and ${shared} shared ones.`);
    const outside = Charts.scatter.outside(points);
    box.append(el("p", { class: "note" }, `${chatOnly.length ? count(chatOnly.length) : "No"} chat-only latent${chatOnly.length === 1 ? "" : "s"} with both ratios and ${count(shared)} of ${count(c.scaling.sharedTotal)} shared ones; ${outside ? `${count(outside)} lie${outside === 1 ? "s" : ""} outside the frame` : "none lies outside the frame"}. Edges: each group’s distribution.`));
    if (!judged.length) continue;
    box.append(toggled(`Table: ${count(judged.length)} latents`, table("Ratios", [
      { name: "latent", num: true, get: p => p.latent }, { name: "verdict", get: p => p.verdict }, { name: "ν-error ± s.e.", num: true, get: p => `${number(p.nuError, 3)} ± ${number(p.nuErrorSe, 3)}` },
      { name: "ν-reconstr. ± s.e.", num: true, get: p => `${number(p.nuReconstruction, 3)} ± ${number(p.nuReconstructionSe, 3)}` }, { name: "Δ-norm", num: true, get: p => number(p.deltaNorm, 3) }, { name: "n", num: true, get: p => count(p.active) },
    ], judged, { tall: judged.length > 12 })));
  }
}

const effectOrder = ["none", "template", "error", "all", "replace_best_scaling", "replace_worst_scaling", "replace_best_norm", "replace_worst_norm", "replace_control"];
function effectRows(c, subset, metric) {
  return effectOrder.map(edit => {
    const e = c.effects.edits.find(x => x.edit === edit && x.subset === subset);
    if (!e) return null;
    const estimate = e[metric];
    const kind = edit === "none" || edit === "template" ? "baseline" : edit === "all" || edit === "error" ? "crosscoder" : edit.endsWith("control") ? "control" : edit.includes("best") ? "best" : "worst";
    return { name: editName(edit), kind, value: estimate.value, low: estimate.low, high: estimate.high, share: metric === "kl" && edit !== "none" ? e.gapShare?.value : null, why: e.tooFew };
  }).filter(Boolean);
}

function effects() {
  const s = $("effects");
  says("effects", R.says.effects);
  const there = R.crosscoders.filter(c => c.effects);
  const both = ["k_first", "all"], titles = { k_first: "First nine tokens of each answer", all: "All answer tokens" };
  // The crosscoders stand side by side, and every panel has the same axis.
  const panels = (parent, metric) => {
    const most = Math.max(0.01, ...there.flatMap(c => both.flatMap(subset => effectRows(c, subset, metric))).filter(r => !r.why).map(r => r.high ?? r.value ?? 0));
    const unit = metric === "kl" ? "KL to the chat model (nats a token)" : "NLL of the next token (nats)";
    const panel = (pair, c, subset, ...title) => {
      const rows = effectRows(c, subset, metric), n = c.effects.edits.find(e => e.edit === "none" && e.subset === subset)?.kl.n;
      const box = pair.appendChild(el("div", {}, el("h4", {}, ...title, ` (n = ${count(n)})`)));
      chart(box, Charts.bars(rows, most, unit, tint(c)), () => Charts.bars.height(rows), `${unit}, ${subsets[subset]}, ${c.label}: ${rows.map(r => `${r.name} ${r.why ?? number(r.value)}`).join("; ")}.`);
    };
    if (there.length === 1) {
      const pair = parent.appendChild(el("div", { class: "pair" }));
      both.forEach(subset => panel(pair, there[0], subset, titles[subset]));
      return;
    }
    for (const subset of both) {
      parent.append(el("h3", {}, titles[subset]));
      const pair = parent.appendChild(el("div", { class: "pair" }));
      there.forEach(c => panel(pair, c, subset, markOf(c), c.label));
    }
  };
  if (there.length) {
    s.append(el("p", { class: "note" }, "The chat model’s second half continues from edited activations; KL tells how far its predictions move from its own. “None” feeds it the base model’s activations: the gap. Each other bar puts something of the chat model back: its template tokens, all that the crosscoder’s latents hold, all that they miss (the error), or one half of the pool of latents with the highest Δ-norm. Lower is closer to the chat model; whiskers are 95% intervals by bootstrap over conversations."));
    panels(s, "kl");
    const nll = s.appendChild(toggled("The same for the loss (NLL)"));
    lazily(nll, () => panels(nll, "nll"));
  }
  for (const c of R.crosscoders) {
    if (!c.effects) { missing("effects", c, c.missing.effects); continue; }
    const E = c.effects;
    s.append(toggled(`Table: all edits, ${c.label}`, table("Edits", [
      { name: "edit", get: e => editName(e.edit) }, { name: "positions", get: e => subsets[e.subset] ?? e.subset }, { name: "latents", num: true, get: e => (e.latents ? count(e.latents) : null) },
      { name: "KL (95%)", num: true, get: e => (e.tooFew ? e.tooFew : interval(e.kl, x => number(x, 3))) }, { name: "share of gap (95%)", num: true, get: e => interval(e.gapShare, percent) },
      { name: "KL less none (95%)", num: true, get: e => interval(e.differenceFromNone, x => number(x, 3)) }, { name: "NLL (95%)", num: true, get: e => interval(e.nll, x => number(x, 3)) }, { name: "n", num: true, get: e => count(e.kl.n) },
    ], E.edits, { tall: true }),
    E.differences.length ? table("Paired differences", [
      { name: "first", get: d => editName(d.editA) }, { name: "less second", get: d => editName(d.editB) }, { name: "positions", get: d => subsets[d.subset] ?? d.subset }, { name: "metric", get: d => d.metric.toUpperCase() },
      { name: "difference (95%)", num: true, get: d => interval(d.difference, x => number(x, 3)) }, { name: "n", num: true, get: d => count(d.difference.n) },
    ], E.differences, { tall: E.differences.length > 12, caption: "Differences are paired: the same conversations are drawn for both." }) : null));
    s.append(el("p", { class: "note" }, `${c.label}: ${count(E.conversations)} conversations, ${count(E.positions)} positions; pool of ${count(E.poolSize)} latents with the highest Δ-norm, ${count(E.poolAfterFilter)} after the filter on both ratios. ${sentences(E.notes)}`));
  }
}

const behaviourName = r => r.group + (r.against ? ` against ${r.against}` : "");

function card(c, k, open) {
  const l = k.latent;
  const measure = (name, value) => el("span", { class: "measure" }, el("small", {}, name + " "), value);
  const pm = (v, se) => (v === null ? "–" : `${number(v, 3)} ± ${number(se, 3)}`);
  const passes = c.scaling?.points.some(p => p.latent === l.latent && p.verdict === "passes below 0.9");
  const tracked = (c.behaviours?.rows ?? []).filter(r => r.latent === l.latent && r.tracks && !r.tooFew).sort((a, b) => b.auc.value - a.auc.value);
  const well = tracked.filter(r => r.auc.value >= clearAuc), weak = tracked.length - well.length;
  const withAuc = r => `${behaviourName(r)} ${number(r.auc.value)}`;
  const tracks = well.length ? well.map(withAuc).join(", ") + (weak ? `; ${weak} more below ${number(clearAuc)}` : "") : weak ? `${withAuc(tracked[0])}, weakly${weak > 1 ? `, and ${weak - 1} more` : ""}` : "";
  const summary = el("summary", {}, el("span", { class: "rank" }, String(k.rank)), el("b", {}, `latent ${l.latent}`),
    el("span", {}, el("span", { class: "chip" + (l.verdict === "chat-specific" ? " specific" : "") }, l.verdict || (passes ? `${l.class}, passes both` : l.class))),
    measure("Δ-norm", number(l.deltaNorm, 3)), measure("ν-error", pm(l.nuError, l.nuErrorSe)), measure("ν-rec.", pm(l.nuReconstruction, l.nuReconstructionSe)),
    el("span", { class: "labels" }, tracks ? el("small", {}, "tells apart ") : null, tracks));
  const box = el("details", { class: "card", open }, summary);
  return lazily(box, () => {
    const inside = box.appendChild(el("div", { class: "inside" }));
    const rates = [["template", l.rateTemplate], ["user", l.rateUser], ["assistant", l.rateAssistant], ["plain text", l.ratePlain]];
    const most = Math.max(1e-12, ...rates.map(r => r[1] ?? 0));
    const list = inside.appendChild(el("dl", { class: "rates" }));
    for (const [name, rate] of rates) {
      const bar = el("i");
      bar.style.width = `${((rate ?? 0) / most) * 100}%`;
      list.append(el("div", {}, el("dt", {}, `fires on ${name}`), el("dd", {}, rate === null ? "–" : `${number(rate * 100, rate < 0.01 ? 3 : 2)}% of tokens`), el("span", { class: "meter" }, bar)));
    }
    list.append(el("div", {}, el("dt", {}, "template share"), el("dd", {}, percent(l.templateShare))), el("div", {}, el("dt", {}, "decoder cosine"), el("dd", {}, number(l.decCosine))),
      el("div", {}, el("dt", {}, "decoder norms"), el("dd", {}, `${number(l.decBaseNorm, 3)} base, ${number(l.decChatNorm, 3)} chat`)), el("div", {}, el("dt", {}, "held-out activations"), el("dd", {}, count(l.active))));
    const strongest = Math.max(l.maxActivation ?? 0, ...k.top.map(e => e.max));
    if (k.top.length) inside.append(el("p", { class: "note" }, "scaled activation 0", el("span", { class: "scale" }), `${number(strongest)} (its maximum); the strongest token is framed.`));
    else inside.append(el("p", { class: "missing" }, "No examples are shown for this latent."));
    inside.append(el("div", { class: "examples" }, ...k.top.map(e => Tokens.render(e, strongest, el, number))));
    const lower = k.lower.filter(q => q.examples.length);
    if (lower.length) {
      const more = inside.appendChild(toggled("Examples from the lower quantiles"));
      lazily(more, () => lower.forEach(q => more.append(el("h4", {}, q.range), el("div", { class: "examples" }, ...q.examples.map(e => Tokens.render(e, strongest, el, number))))));
    }
  });
}

function meaning() {
  const s = $("meaning");
  says("meaning", R.says.meaning);
  for (const c of R.crosscoders) {
    if (!c.cards.length) { missing("meaning", c, c.missing.cards); continue; }
    s.append(el("h3", {}, markOf(c), c.cards.some(k => k.latent.verdict === "chat-specific") ? `${c.label}: the ${c.cards.length} most chat-specific latents` : `${c.label}: the ${c.cards.length} latents of the highest Δ-norm, none of them chat-specific`));
    c.cards.forEach((k, i) => s.append(card(c, k, i === 0)));
  }
}

function behaviours() {
  const s = $("behaviours");
  says("behaviours", R.says.behaviours);
  const there = R.crosscoders.filter(c => c.behaviours);
  const name = behaviourName;
  const measured = r => r.auc && r.auc.value !== null && !r.tooFew;
  // What chat-tuning is best known for, then the clearest; what has too few chats last.
  const known = ["refusal against contrast", "refusal", "false_premise", "personal"];
  const best = row => {
    const auc = Math.max(-1, ...there.flatMap(c => c.behaviours.rows.filter(r => name(r) === name(row) && measured(r)).map(r => r.auc.value)));
    return auc >= 0 && known.includes(name(row)) ? 9 - known.indexOf(name(row)) : auc;
  };
  const groups = [...new Set(there.flatMap(c => c.behaviours.rows.filter(measured)).sort((a, b) => best(b) - best(a)).map(name))];
  if (groups.length) {
    s.append(el("p", { class: "note" }, "AUC of a latent’s largest activation over the answer: how well it alone tells the chats of one behaviour from the others. The latent is chosen on one half of the held-out chats and judged on the other; the grey tail below each mark runs from the mean under shuffled labels to its 95th percentile. The grey line marks an AUC of 0.80. “Against contrast”: refusals told from harmless look-alikes of the same requests, a second look at refusal and not another behaviour. Refusal, false premise and personal stand first, where there are such labels, the rest by AUC. An interval without width means that every resample of the chats was told apart without an error."));
    s.append(key([...there.map(c => [tint(c) === "l1" ? "diamond" : "circle", tint(c), `${c.label}${c.behaviours.candidatesAreSurvivors ? "" : " (no survivors: latents of the highest Δ-norm)"}`]), ["line", "faint", "shuffled labels"]]));
    const series = there.map(c => ({ tint: tint(c), rows: c.behaviours.rows.filter(measured).map(r => ({ at: groups.indexOf(name(r)), value: r.auc.value, low: r.auc.low ?? r.auc.value, high: r.auc.high ?? r.auc.value, shuffled: r.shuffledAuc, shuffledHigh: r.shuffledHigh, text: `${c.label}, ${name(r)}: latent ${r.latent}, AUC ${interval(r.auc)}, shuffled ${number(r.shuffledAuc)}` })) }));
    chart(s, Charts.forest(groups, series), () => Charts.forest.height(groups, series), `AUC by behaviour: ${there.flatMap(c => c.behaviours.rows.filter(measured).map(r => `${c.label} ${name(r)} ${number(r.auc.value)}`)).join("; ")}.`);
  }
  if (there.length) {
    s.append(table("Behaviours", [
      { name: "behaviour", get: r => name(r[1]) }, { name: "crosscoder", get: r => named(r[0]) }, { name: "latent", num: true, get: r => r[1].latent },
      { name: "survives", get: r => (r[1].latent === null ? null : r[1].survivor ? "yes" : "no") }, { name: "AUC (95%)", num: true, get: r => (r[1].tooFew ? el("small", { title: r[1].tooFew }, /^too few/.test(r[1].tooFew) ? "too few" : r[1].tooFew) : interval(r[1].auc)) },
      { name: "shuffled", num: true, title: "mean AUC under shuffled labels, then its 95th percentile", get: r => (r[1].shuffledAuc === null ? null : `${number(r[1].shuffledAuc)} (95%: ${number(r[1].shuffledHigh)})`) },
      { name: "above chance", get: r => (measured(r[1]) ? (r[1].tracks ? "yes" : "no") : null) }, { name: "chosen at", num: true, title: "AUC on the half where it was chosen", get: r => (r[1].aucSelectionHalf === null ? null : number(r[1].aucSelectionHalf)) },
      { name: "n with: chosen on, reported", num: true, title: "chats of the behaviour in each half; fewer than 20 in either are too few", get: r => `${count(r[1].positivesSelection)}, ${count(r[1].positivesReport)}` }, { name: "n without", num: true, get: r => count(r[1].negatives) },
    ], there.flatMap(c => c.behaviours.rows.map(r => [c, r])).sort((a, b) => best(b[1]) - best(a[1]) || name(a[1]).localeCompare(name(b[1]))), { tall: true }));
    for (const c of there) if (c.behaviours.notes.length) s.append(el("p", { class: "note" }, `${c.label}: ${sentences(c.behaviours.notes)}`));
  }
  for (const c of R.crosscoders) if (!c.behaviours) missing("behaviours", c, c.missing.behaviours);
}

const latentColumns = [
  ["latent", v => v], ["class"], ["verdict"], ["delta_norm", v => number(v, 3), "Δ-norm"], ["nu_error", v => number(v, 3), "ν-error"], ["nu_error_se", v => number(v, 3), "± s.e."],
  ["nu_reconstruction", v => number(v, 3), "ν-reconstr."], ["nu_reconstruction_se", v => number(v, 3), "± s.e."], ["active", count, "n active"], ["rate", v => rate(v), "fires on"], ["rate_template", v => rate(v), "template"],
  ["rate_user", v => rate(v), "user"], ["rate_assistant", v => rate(v), "assistant"], ["rate_plain", v => rate(v), "plain text"], ["template_share", percent, "template share"], ["dec_cosine", v => number(v), "decoder cos."],
  ["max_activation", v => number(v, 2), "max"], ["mean_activation", v => number(v, 2), "mean"], ["labels", v => v, "tracks"],
];
const rate = v => (v === null ? "–" : number(v * 100, 2) + "%");

function latents() {
  const s = $("latents");
  says("latents", R.says.latents);
  const there = R.crosscoders.filter(c => c.latents.rows.length);
  for (const c of R.crosscoders) if (!c.latents.rows.length) missing("latents", c, c.missing.latents);
  if (!there.length) return;
  const which = el("select", {}, ...there.map((c, i) => el("option", { value: i }, c.label)));
  const kind = el("select", {}, ...["all", "chat-only", "base-only", "shared", "other"].map(k => el("option", { value: k }, k)));
  const search = el("input", { type: "search", placeholder: "number, verdict or behaviour" });
  const status = el("p", { class: "note", role: "status" });
  const body = el("tbody");
  const columns = latentColumns.map(([id, format = v => v, title = id]) => ({ id, format, title, text: ["class", "verdict", "labels"].includes(id) }));
  let order = null, down = true;
  const heads = columns.map(c => {
    const head = el("th", { scope: "col", class: !c.text && "num" }, el("button", { type: "button", onclick: () => { down = order === c.id ? !down : !c.text; order = c.id; show(); } }, c.title));
    head.dataset.id = c.id;
    return head;
  });
  function show() {
    const c = there[which.value], at = Object.fromEntries(c.latents.columns.map((n, i) => [n, i])), word = search.value.trim().toLowerCase();
    let rows = c.latents.rows.filter(r => (kind.value === "all" || r[at.class] === kind.value) && (!word || String(r[at.latent]) === word || r[at.verdict].includes(word) || r[at.labels].toLowerCase().includes(word)));
    if (order) {
      const sign = down ? -1 : 1, k = at[order];
      rows = [...rows].sort((a, b) => (a[k] === null) - (b[k] === null) || sign * (typeof a[k] === "string" ? a[k].localeCompare(b[k]) : a[k] - b[k]));
    }
    heads.forEach(h => (h.dataset.id === order ? h.setAttribute("aria-sort", down ? "descending" : "ascending") : h.removeAttribute("aria-sort")));
    body.replaceChildren(...rows.map(r => el("tr", {}, ...columns.map((col, i) => el(i ? "td" : "th", { scope: !i && "row", class: !col.text && "num" }, String(r[at[col.id]] === null ? "–" : col.format(r[at[col.id]])))))));
    status.textContent = `${count(rows.length)} of the ${count(c.latents.rows.length)} rows held in this page, out of ${count(c.latents.total)} latents: chat-specific ones first, then other chat-only ones, those that track a behaviour, and then by distance of the Δ-norm from 0.5. All of them are in latents_${c.name}.csv beside this page.`;
  }
  [which, kind].forEach(x => x.addEventListener("change", show));
  search.addEventListener("input", show);
  s.append(el("div", { class: "controls" }, el("label", {}, "crosscoder", which), el("label", {}, "class", kind), el("label", {}, "search", search)), status);
  s.append(el("div", { class: "scroll tall", tabindex: "0", role: "region", "aria-label": "All latents" }, el("table", {}, el("thead", {}, el("tr", {}, ...heads)), body)));
  show();
}

function training() {
  const s = $("training");
  says("training", R.says.training);
  const there = R.crosscoders.filter(c => c.training && c.training.length);
  for (const c of R.crosscoders) if (!there.includes(c)) missing("training", c, c.missing.training);
  if (!there.length) return;
  s.append(key(there.map(c => [tint(c) === "l1" ? "diamond" : "circle", tint(c), c.label])));
  const trio = s.appendChild(el("div", { class: "trio" }));
  const units = { "loss": "each kind’s own objective", "variance explained": "share of 1", "L0": "active latents a token", "dead share": "share of 1", "threshold": "scaled code" };
  for (const name of Object.keys(units)) {
    const seen = {};
    const series = there.map(c => {
      const dash = (seen[tint(c)] = (seen[tint(c)] ?? -1) + 1);
      const found = c.training.find(t => t.name === name);
      return found && found.steps.length ? { name: c.label, tint: tint(c), dash, steps: found.steps, values: found.values } : null;
    }).filter(Boolean);
    if (!series.length) continue;
    const box = trio.appendChild(el("div", {}, el("h4", {}, `${name} (${units[name]})`)));
    chart(box, Charts.training(series, name === "variance explained" && series.every(x => x.values.every(v => v === null || (v >= 0 && v <= 1)))), Charts.training.height, `${name} by step: ${series.map(x => `${x.name} from ${number(x.values[0], 3)} to ${number(x.values.at(-1), 3)}`).join("; ")}.`);
  }
  const ends = there.flatMap(c => c.training.map(t => [c, t])).filter(r => r[1].steps.length);
  s.append(toggled("Table: first, middle and last values", table("Training", [
    { name: "crosscoder", get: r => r[0].label }, { name: "quantity", get: r => r[1].name }, { name: "first step", num: true, get: r => count(r[1].steps[0]) }, { name: "value", num: true, get: r => number(r[1].values[0], 4) },
    { name: "middle step", num: true, get: r => count(r[1].steps[r[1].steps.length >> 1]) }, { name: "value", num: true, get: r => number(r[1].values[r[1].values.length >> 1], 4) },
    { name: "last step", num: true, get: r => count(r[1].steps.at(-1)) }, { name: "value", num: true, get: r => number(r[1].values.at(-1), 4) },
  ], ends)));
}

function trust() {
  const s = $("trust"), T = R.trust;
  says("trust", R.says.trust);
  const list = (title, items, tag = "ul") => { if (items.length) s.append(el("h3", {}, title), el(tag, {}, ...items.map(t => el("li", {}, t)))); };
  list("What was left out", T.skipped);
  list("Limits", T.limits);
  s.append(el("h3", {}, "How it was made"), el("dl", { class: "facts" }, ...T.facts.flatMap(f => [el("dt", {}, f.name), el("dd", {}, f.value)])));
  if (T.commands.length) s.append(el("h3", {}, "To make it again"), el("pre", { tabindex: "0", "aria-label": "Commands" }, T.commands.join("\n")));
  s.append(toggled("Table: every stage, its hash and its time", table("Stages", [
    { name: "folder", get: r => r.folder }, { name: "fingerprint", mono: true, get: r => r.fingerprint }, { name: "finished (UTC)", get: r => r.finished }, { name: "seconds", num: true, get: r => number(r.seconds, 1) },
    { name: "version", get: r => r.version }, { name: "kernels", wrap: true, get: r => r.backend },
  ], T.stages)));
  list("References", T.references, "ol");
  s.append(el("footer", {}, "Beside this page: report.json with everything, and a CSV file for each table. This page loads nothing from anywhere."));
}

function navigation() {
  const sections = [...document.querySelectorAll("main > section")];
  const links = [];
  for (const nav of document.querySelectorAll("nav")) {
    sections.forEach((section, i) => {
      const a = el("a", { href: `#${section.id}` }, i === 0 ? "Answer" : `${i} ${section.querySelector("h2").textContent}`);
      a.addEventListener("click", () => nav.closest("details")?.removeAttribute("open"));
      links.push(a);
      nav.append(a);
    });
  }
  sections.forEach((section, i) => { if (i) section.querySelector("h2").prepend(`${i}  `); });
  const current = id => links.forEach(a => (a.getAttribute("href") === `#${id}` ? a.setAttribute("aria-current", "true") : a.removeAttribute("aria-current")));
  const seen = new IntersectionObserver(entries => entries.forEach(e => { if (e.isIntersecting) current(e.target.id); }), { rootMargin: "-15% 0px -75% 0px" });
  sections.forEach(section => seen.observe(section));
}

function theme() {
  const dark = matchMedia("(prefers-color-scheme: dark)"), root = document.documentElement, button = $("theme");
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : dark.matches);
  const label = () => { button.textContent = isDark() ? "Light" : "Dark"; button.setAttribute("aria-pressed", String(isDark())); button.title = `Switch to ${isDark() ? "light" : "dark"}`; };
  button.addEventListener("click", () => { root.dataset.theme = isDark() ? "light" : "dark"; label(); Charts.redraw(); });
  dark.addEventListener("change", () => { label(); Charts.redraw(); });
  label();
}

navigation();
for (const write of [answer, compared, norms, scaling, effects, meaning, behaviours, latents, training, trust]) write();
theme();
document.documentElement.dataset.ready = "true";
