"use strict";
// Examples: tokens coloured by activation, in lines of one role each, with the role in the margin and the strongest token framed.
const Tokens = (() => {
  // A token can have two roles: an answer's end-of-turn is template first.
  const roleOf = flags => (flags & 1 ? "BOS" : flags & 2 ? "template" : flags & 8 ? "assistant" : flags & 4 ? "user" : "text");

  const textOf = token => {
    const byte = /^<0x([0-9A-F]{2})>$/.exec(token);
    if (byte) return byte[1] === "0A" ? "⏎" : token;
    return token.replaceAll("▁", " ").replaceAll("\n", "⏎").replaceAll("\t", "⇥");
  };

  // Stretches of one role; BOS joins what follows, so that it takes no line of its own.
  function lines(example) {
    const found = [];
    example.tokens.forEach((_, i) => {
      const role = roleOf(example.roles[i]);
      const last = found.at(-1);
      if (last && (last.role === role || last.role === "BOS")) {
        last.role = role;
        last.to = i + 1;
      } else {
        found.push({ role, from: i, to: i + 1 });
      }
    });
    return found;
  }

  function render(example, strongest, el, number) {
    const where = `${example.source} ${example.documentId}`;
    const labels = example.labels.length ? ` · ${example.labels.join(", ")}` : "";
    const box = el("div", { class: "example" }, el("p", {}, `${where}${labels} · strongest ${number(example.max, 2)}, tokens ${example.firstToken}–${example.firstToken + example.tokens.length - 1}`));
    const body = box.appendChild(el("div", { class: "lines" }));
    for (const line of lines(example)) {
      const text = el("div", { class: "text" });
      for (let i = line.from; i < line.to; i++) {
        const a = example.activations[i] ?? 0;
        const token = el("span", { class: "tok" + (i === example.peak ? " peak" : "") + (a > 0 ? " hot" : "") + (example.roles[i] & 1 ? " bos" : "") }, textOf(example.tokens[i]));
        if (a > 0) {
          token.style.setProperty("--a", String(Math.min(1, strongest > 0 ? a / strongest : 0)));
          token.title = number(a, 2);
        }
        text.append(token);
      }
      body.append(el("div", { class: "line " + line.role }, el("div", { class: "role" }, line.role), text));
    }
    return box;
  }

  return { render };
})();
