"use strict";
// Charts: each builder turns data into an ECharts option for a width and a palette; mount() draws it, and again whenever width, theme or medium change.
const Charts = (() => {
  const mounted = [];
  const probe = document.createElement("span");

  const colour = name => {
    document.body.append(probe);
    probe.style.color = `var(--${name})`;
    const resolved = getComputedStyle(probe).color;
    probe.remove();
    return resolved;
  };
  const fade = (resolved, alpha) => {
    const [r, g, b] = resolved.match(/[\d.]+/g);
    return `rgba(${r},${g},${b},${alpha})`;
  };
  const palette = () => Object.fromEntries(["paper", "ink", "muted", "line", "faint", "base", "chat", "shared", "batchtopk", "l1", "accent"].map(n => [n, colour(n)]));

  const number = (x, digits = 2) => (x === null || x === undefined || !Number.isFinite(x) ? "–" : x.toLocaleString("en-GB", { minimumFractionDigits: digits, maximumFractionDigits: digits }).replace("-", "−").replace(/^−(?=[0.]+$)/, ""));
  const percent = x => (x === null || x === undefined ? "–" : number(x * 100, Math.abs(x) < 0.0995 && x !== 0 ? 1 : 0) + "%");
  const tick = x => String(Number(x.toPrecision(6))).replace("-", "−");
  const escape = text => String(text).replace(/[&<>"']/g, c => `&#${c.charCodeAt(0)};`);

  const font = 'system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif';
  const base = p => ({
    animation: false,
    textStyle: { fontFamily: font, color: p.ink, fontSize: 12 },
    tooltip: { confine: true, backgroundColor: p.paper, borderColor: p.faint, textStyle: { color: p.ink, fontSize: 12 }, extraCssText: "box-shadow:0 2px 12px rgba(0,0,0,.2)" },
  });
  const axis = (p, more) => ({
    type: "value", axisLine: { show: true, lineStyle: { color: p.faint } }, axisTick: { show: true, lineStyle: { color: p.faint } },
    axisLabel: { color: p.muted, fontSize: 11, hideOverlap: true, ...more?.label }, splitLine: { show: true, lineStyle: { color: p.line } },
    nameTextStyle: { color: p.muted, fontSize: 11 }, nameLocation: "middle", ...more?.axis,
  });

  // A count on a logarithmic scale that still has its zero: log10(1 + n), with ticks at 0, 1, 10, 100, ...
  const logCount = n => Math.log10(1 + n);
  const countTicks = most => {
    const ticks = [0, 1];
    while (ticks.at(-1) < most) ticks.push(ticks.at(-1) * 10);
    return ticks;
  };
  const countAxis = (p, most, name, gap, more) => {
    const ticks = countTicks(most);
    const at = ticks.map(logCount);
    return axis(p, {
      axis: { name, nameGap: gap, min: 0, max: at.at(-1), axisTick: { show: true, customValues: at, lineStyle: { color: p.faint } }, ...more },
      label: { customValues: at, formatter: v => Math.round(10 ** v - 1).toLocaleString("en-GB") },
    });
  };

  // The smallest of 1, 1.5, 2, 3, 4, 5, 6, 8 times a power of ten that holds x.
  const ceiling = x => {
    const power = 10 ** Math.floor(Math.log10(x));
    return power * ([1, 1.5, 2, 3, 4, 5, 6, 8].find(m => m * power >= x) ?? 10);
  };

  // Section 2: 100 bins of the relative decoder norm, the survivors over them, and 0.9 to 1 again beside it.
  function norms(norms, most, mostTop) {
    return (p, width) => {
      const wide = width >= 560;
      const main = wide ? { left: 52, right: 250, top: 30, bottom: 44 } : { left: 46, right: 10, top: 30, height: 170 };
      const inset = wide ? { width: 170, right: 12, top: 30, bottom: 44 } : { left: 46, right: 10, top: 285, height: 110 };
      const bars = (counts, count, from, to, band) => counts.map((n, i) => ({ value: [from + ((i + 0.5) * (to - from)) / count, logCount(n)], n, from: from + (i * (to - from)) / count, itemStyle: { color: band(i) } }));
      const band = i => (i < 10 ? p.base : i >= 90 ? p.chat : i >= 40 && i < 60 ? p.shared : p.faint);
      const series = (grid, bins, survivors, from, to, colours) => {
        const count = bins.length;
        const px = wide ? (grid ? 170 : width - 302) : width - 56;
        const barWidth = Math.max(1.2, px / count - (px / count > 3 ? 1 : 0.3));
        const tip = (what, list) => d => `Δ-norm ${number(d.data.from)} to ${number(d.data.from + (to - from) / count, 3)}: ${list[d.dataIndex].toLocaleString("en-GB")} ${what}`;
        return [
          { type: "bar", xAxisIndex: grid, yAxisIndex: grid, barWidth, data: bars(bins, count, from, to, colours), tooltip: { formatter: tip("latents", bins) } },
          { type: "bar", xAxisIndex: grid, yAxisIndex: grid, barWidth, barGap: "-100%", z: 4, data: bars(survivors, count, from, to, () => p.ink), tooltip: { formatter: tip("survive Latent Scaling", survivors) } },
        ];
      };
      const [mainBars, mainSurvivors] = series(0, norms.bins, norms.survivors, 0, 1, band);
      const area = (name, from, to, tint) => [{ name, xAxis: from, itemStyle: { color: fade(tint, 0.1) } }, { xAxis: to }];
      mainBars.markArea = {
        silent: true, label: { color: p.muted, fontSize: 11, position: "top", distance: 4 },
        data: [area(wide ? "base-only" : "base", 0, 0.1, p.base), area("shared", 0.4, 0.6, p.shared), area(wide ? "chat-only" : "chat", 0.9, 1, p.chat)],
      };
      const x = (grid, name, min, max, interval) => axis(p, { axis: { gridIndex: grid, name, nameGap: 26, min, max, interval, splitLine: { show: false } }, label: { formatter: tick } });
      return {
        ...base(p),
        grid: [main, inset],
        xAxis: [x(0, "relative decoder norm Δ (0 = base-only, 1 = chat-only)", 0, 1, wide ? 0.1 : 0.2), x(1, norms.topBins.some(n => n) ? "Δ from 0.9 to 1" : "Δ from 0.9 to 1: none", 0.9, 1, wide ? 0.05 : 0.02)],
        yAxis: [countAxis(p, most, "latents (log scale)", 38, { gridIndex: 0 }), countAxis(p, mostTop, "", 0, { gridIndex: 1 })],
        series: [mainBars, mainSurvivors, ...series(1, norms.topBins, norms.topSurvivors, 0.9, 1, () => p.chat)],
      };
    };
  }
  norms.height = width => (width >= 560 ? 270 : 445);

  // Section 3: both ratios of each latent, thresholds as lines, marginal histograms as shares of their group.
  const symbols = {
    "chat-specific": { symbol: "circle", size: 11, name: "chat-specific" },
    "complete shrinkage": { symbol: "triangle", size: 10, name: "complete shrinkage" },
    "decoupling": { symbol: "diamond", size: 11, name: "decoupling" },
    "both": { symbol: "path://M0 0L2 0L5 3L8 0L10 0L10 2L7 5L10 8L10 10L8 10L5 7L2 10L0 10L0 8L3 5L0 2Z", size: 9, name: "both" },
    "undecided": { symbol: "circle", size: 8, name: "undecided" },
    "passes below 0.9": { symbol: "rect", size: 8, name: "passes below 0.9" },
    "shared": { symbol: "circle", size: 4, name: "shared (sample)" },
  };
  function scatter(points) {
    const from = -0.1, to = 1.1, bins = 24;
    const inside = points.filter(s => s.nuError >= from && s.nuError <= to && s.nuReconstruction >= from && s.nuReconstruction <= to);
    const histogram = (list, key) => {
      const counts = new Array(bins).fill(0);
      for (const s of list) {
        const at = Math.floor(((s[key] - from) / (to - from)) * bins);
        if (at >= 0 && at < bins) counts[at]++;
      }
      return counts.map(n => (list.length ? n / list.length : 0));
    };
    return (p, width) => {
      const side = Math.max(40, Math.min(64, width * 0.14));
      const left = 50, top = side + 16, bottom = 44, right = side + 16;
      const colourOf = v => (v === "passes below 0.9" ? fade(p.ink, 0) : v === "shared" ? fade(p.shared, 0.7) : v === "chat-specific" ? p.chat : v === "undecided" ? fade(p.chat, 0) : fade(p.chat, 0.75));
      const axisOf = (more, label) => axis(p, { axis: { min: from, max: to, splitLine: { show: false }, axisTick: { show: true, customValues: [0, 0.2, 0.5, 1], lineStyle: { color: p.faint } }, ...more }, label: { customValues: [0, 0.2, 0.5, 1], formatter: tick, ...label } });
      const bare = { show: false };
      const groups = Object.keys(symbols).map(v => ({
        type: "scatter", name: symbols[v].name, symbol: symbols[v].symbol, symbolSize: symbols[v].size, z: v === "shared" ? 2 : v === "chat-specific" ? 5 : 4,
        itemStyle: { color: colourOf(v), ...(v === "chat-specific" ? { borderColor: p.ink, borderWidth: 1.2 } : v === "undecided" ? { borderColor: p.chat, borderWidth: 1.6 } : v === "passes below 0.9" ? { borderColor: p.ink, borderWidth: 1.4 } : {}) },
        data: inside.filter(s => s.verdict === v).map(s => ({ value: [s.nuReconstruction, s.nuError], point: s })),
        tooltip: {
          formatter: d => {
            const s = d.data.point;
            return `latent ${s.latent}: ${escape(s.verdict)}<br>ν-reconstruction ${number(s.nuReconstruction)} ± ${number(s.nuReconstructionSe)}<br>ν-error ${number(s.nuError)} ± ${number(s.nuErrorSe)}<br>Δ-norm ${number(s.deltaNorm, 3)}, ${s.active.toLocaleString("en-GB")} activations`;
          },
        },
      }));
      const line = { color: p.ink, type: "dashed", width: 1 };
      groups[0].markLine = { silent: true, symbol: "none", lineStyle: line, label: { show: false }, data: [{ yAxis: 0.2 }, { xAxis: 0.5 }] };
      groups[0].markArea = {
        silent: true, itemStyle: { color: fade(p.chat, 0.09) }, label: { color: p.muted, fontSize: 11, position: "insideBottomLeft" },
        data: [[{ name: "passes both", xAxis: from, yAxis: 0.2 }, { xAxis: 0.5, yAxis: from }]],
      };
      const chat = points.filter(s => s.verdict !== "shared" && s.verdict !== "passes below 0.9"), shared = points.filter(s => s.verdict === "shared");
      const steps = (list, key, vertical, gridIndex, tint, filled) => {
        if (!list.length) return { type: "line", data: [] };
        const data = histogram(list, key).flatMap((n, i) => {
          const a = from + (i * (to - from)) / bins, b = from + ((i + 1) * (to - from)) / bins;
          return vertical ? [[n, a], [n, b]] : [[a, n], [b, n]];
        });
        return { type: "line", silent: true, xAxisIndex: gridIndex, yAxisIndex: gridIndex, symbol: "none", data, lineStyle: { color: tint, width: 1.3 }, areaStyle: filled && !vertical ? { color: fade(tint, 0.25) } : undefined, z: 3 };
      };
      return {
        ...base(p),
        grid: [{ left, top, right, bottom }, { left, right, top: 8, height: side }, { top, bottom, width: side, left: width - right + 8 }],
        xAxis: [
          axisOf({ name: "ν-reconstruction (no unit)", nameGap: 26 }), { ...axisOf({ gridIndex: 1 }), ...bare }, { ...axis(p, { axis: { gridIndex: 2, min: 0 } }), ...bare },
        ],
        yAxis: [axisOf({ name: "ν-error (no unit)", nameGap: 32 }), { ...axis(p, { axis: { gridIndex: 1, min: 0 } }), ...bare }, { ...axisOf({ gridIndex: 2 }), ...bare }],
        series: [
          ...groups, steps(shared, "nuReconstruction", false, 1, p.shared, false), steps(chat, "nuReconstruction", false, 1, p.chat, true),
          steps(shared, "nuError", true, 2, p.shared, false), steps(chat, "nuError", true, 2, p.chat, true),
        ].filter(s => s.data.length || s.markLine),
      };
    };
  }
  scatter.height = width => Math.min(480, Math.max(300, width * 0.95));
  scatter.outside = points => points.filter(s => s.nuError < -0.1 || s.nuError > 1.1 || s.nuReconstruction < -0.1 || s.nuReconstruction > 1.1).length;

  // Section 4: bars with their intervals; rows are { name, value, low, high, share, kind, why }.
  function bars(rows, most, title, tint) {
    return (p, width) => {
      const left = Math.min(175, Math.max(118, width * 0.36));
      const fill = { baseline: fade(p.muted, 0.55), crosscoder: fade(p[tint], 0.55), best: p[tint], worst: fade(p[tint], 0.4), control: fade(p.shared, 0.75) };
      const categories = rows.map(r => r.name);
      const shown = rows.map((r, i) => ({ ...r, i })).filter(r => r.value !== null && !r.why);
      const label = r => number(r.value) + (r.share === null || r.share === undefined ? "" : `  {s|${percent(r.share)} of gap}`);
      return {
        ...base(p),
        grid: { left, right: width < 420 ? 106 : 122, top: 6, bottom: 42 },
        xAxis: axis(p, { axis: { name: title, nameGap: 26, min: 0, max: ceiling(most), splitNumber: 4 }, label: { formatter: tick } }),
        yAxis: { type: "category", inverse: true, data: categories, axisTick: { show: false }, axisLine: { lineStyle: { color: p.faint } }, axisLabel: { color: p.ink, fontSize: 12, width: left - 14, overflow: "break", lineHeight: 13, interval: 0 } },
        series: [
          {
            type: "bar", barWidth: "62%", data: rows.map(r => ({ value: r.why ? null : r.value, row: r, itemStyle: { color: fill[r.kind], borderColor: r.kind === "control" ? p.shared : undefined, borderWidth: r.kind === "control" ? 1 : 0 } })),
            tooltip: { formatter: d => `${escape(d.data.row.name)}: ${number(d.data.row.value, 3)} (${number(d.data.row.low, 3)} to ${number(d.data.row.high, 3)})` },
          },
          {
            type: "custom", silent: true, z: 5, data: shown.filter(r => r.low !== null && r.high !== null).map(r => [r.low, r.i, r.high]),
            renderItem: (_, api) => {
              const a = api.coord([api.value(0), api.value(1)]), b = api.coord([api.value(2), api.value(1)]);
              const stroke = { stroke: p.ink, lineWidth: 1.2, fill: null };
              const at = (x1, y1, x2, y2) => ({ type: "line", shape: { x1, y1, x2, y2 }, style: stroke });
              return { type: "group", children: [at(a[0], a[1], b[0], b[1]), at(a[0], a[1] - 4, a[0], a[1] + 4), at(b[0], b[1] - 4, b[0], b[1] + 4)] };
            },
          },
          {
            type: "scatter", silent: true, symbolSize: 0.01, z: 6,
            data: [...shown.map(r => ({ value: [r.high ?? r.value, r.i], text: label(r) })), ...rows.map((r, i) => ({ value: [0, i], text: r.why ? `{s|${r.why}}` : "" })).filter(d => d.text)],
            label: { show: true, position: "right", distance: 6, color: p.ink, fontSize: 11.5, textBorderColor: p.paper, textBorderWidth: 3, formatter: d => d.data.text, rich: { s: { color: p.muted, fontSize: 11, textBorderColor: p.paper, textBorderWidth: 3 } } },
          },
        ],
      };
    };
  }
  bars.height = rows => 52 + rows.length * 27;

  // Section 6: AUC with its interval for each behaviour and crosscoder, beside what shuffled labels reach.
  function forest(groups, series) {
    return (p, width) => {
      const left = Math.min(190, Math.max(105, width * 0.3));
      const offset = (i, n) => (i - (n - 1) / 2) * (20 / Math.max(1, n));
      // Chance is the foot of this measure; the axis says where it begins.
      const lowest = Math.min(0.5, ...series.flatMap(s => s.rows.map(r => r.low)));
      const from = Math.max(0, Math.floor((lowest - 0.02) * 10) / 10);
      return {
        ...base(p),
        grid: { left, right: 14, top: 8, bottom: 42 },
        xAxis: axis(p, { axis: { name: width < 500 ? `AUC, reported half (0.5 = chance; from ${from})` : `AUC on the reported half of the held-out chats (0.5 = chance; the axis begins at ${from})`, nameGap: 26, min: from, max: 1, interval: width < 500 ? 0.2 : 0.1 }, label: { formatter: tick } }),
        yAxis: { type: "category", inverse: true, data: groups, axisTick: { show: false }, splitLine: { show: true, lineStyle: { color: p.line } }, axisLine: { lineStyle: { color: p.faint } }, axisLabel: { color: p.ink, fontSize: 12, width: left - 14, overflow: "break", lineHeight: 13, interval: 0 } },
        series: series.flatMap((s, k) => [
          {
            type: "custom", data: s.rows.map(r => [r.low, r.at, r.high, r.value, r.shuffled ?? NaN, r.shuffledHigh ?? NaN, r.row]), z: 4,
            tooltip: { formatter: d => escape(s.rows[d.dataIndex].text) },
            renderItem: (_, api) => {
              const y = api.coord([0, api.value(1)])[1] + offset(k, series.length);
              const x = v => api.coord([v, 0])[0];
              const tint = p[s.tint], children = [];
              const line = (x1, x2, y1, y2, stroke, w) => children.push({ type: "line", shape: { x1, x2, y1, y2 }, style: { stroke, lineWidth: w, fill: null } });
              if (Number.isFinite(api.value(4))) {
                line(x(api.value(4)), x(api.value(5)), y + 5, y + 5, p.faint, 2);
                line(x(api.value(5)), x(api.value(5)), y + 2, y + 8, p.muted, 1.2);
              }
              line(x(api.value(0)), x(api.value(2)), y, y, tint, 2);
              const cx = x(api.value(3)), r = 4.5;
              children.push(s.tint === "l1"
                ? { type: "polygon", shape: { points: [[cx, y - r - 1], [cx + r + 1, y], [cx, y + r + 1], [cx - r - 1, y]] }, style: { fill: tint, stroke: p.ink, lineWidth: 0.8 } }
                : { type: "circle", shape: { cx, cy: y, r }, style: { fill: tint, stroke: p.ink, lineWidth: 0.8 } });
              return { type: "group", children };
            },
            ...(k === 0 ? { markLine: { silent: true, symbol: "none", label: { show: false }, lineStyle: { color: p.ink, type: "dashed", width: 1 }, data: [{ xAxis: 0.5 }, { xAxis: 0.8, lineStyle: { color: p.muted, type: "solid" } }] } } : {}),
          },
        ]),
      };
    };
  }
  forest.height = (groups, series) => 54 + groups.length * Math.max(24, 14 + series.length * 9);

  // Section 8: one quantity by step, all crosscoders on the same axes.
  function training(series, full) {
    return p => ({
      ...base(p),
      grid: { left: 46, right: 12, top: 10, bottom: 38 },
      tooltip: { ...base(p).tooltip, trigger: "axis", valueFormatter: v => number(v, 3) },
      xAxis: axis(p, { axis: { name: "step", nameGap: 22, min: 0, max: "dataMax", splitNumber: 3, splitLine: { show: false } }, label: { formatter: v => v.toLocaleString("en-GB") } }),
      yAxis: axis(p, { axis: { min: v => Math.min(0, v.min), splitNumber: 4, max: full ? 1 : undefined, interval: full ? 0.25 : undefined }, label: { formatter: tick } }),
      series: series.map(s => ({
        type: "line", name: s.name, data: s.steps.map((step, i) => [step, s.values[i]]), symbol: s.steps.length > 30 ? "none" : s.tint === "l1" ? "diamond" : "circle", symbolSize: 5,
        lineStyle: { color: p[s.tint], width: 1.8, type: s.dash ? [[6, 3], [2, 3], [8, 3, 2, 3]][(s.dash - 1) % 3] : "solid" }, itemStyle: { color: p[s.tint] },
      })),
    });
  }
  training.height = () => 190;

  // Puts a chart into holder. height: of a width. The summary is what a screen reader gets; the table beside it has the numbers.
  function mount(holder, build, height, summary) {
    holder.className = "chart";
    holder.setAttribute("role", "img");
    holder.setAttribute("aria-label", summary);
    const item = { holder, build, height, chart: null, width: 0 };
    mounted.push(item);
    draw(item);
    new ResizeObserver(() => {
      if (Math.abs(holder.clientWidth - item.width) > 1 && !printing) draw(item);
    }).observe(holder);
    return holder;
  }

  let printing = false;
  function draw(item) {
    const width = item.holder.clientWidth;
    if (width === 0) return;
    const height = Math.round(item.height(width));
    item.width = width;
    item.holder.style.height = printing ? "" : `${height}px`;
    item.chart ??= echarts.init(item.holder, null, { renderer: "svg", width, height });
    item.chart.resize({ width, height, silent: true });
    const option = item.build(palette(), width);
    item.chart.setOption(option, { notMerge: true });
    item.chart.getZr().flush();
    const svg = item.holder.querySelector("svg");
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    svg.setAttribute("aria-hidden", "true");
  }

  const redraw = () => mounted.forEach(draw);

  // Paper is light, whatever the screen was.
  let screenTheme;
  addEventListener("beforeprint", () => {
    screenTheme = document.documentElement.dataset.theme;
    document.documentElement.dataset.theme = "light";
    printing = true;
    redraw();
  });
  addEventListener("afterprint", () => {
    if (screenTheme) document.documentElement.dataset.theme = screenTheme;
    else delete document.documentElement.dataset.theme;
    printing = false;
    redraw();
  });

  return { mount, redraw, norms, scatter, symbols, bars, forest, training, number, percent, mounted };
})();
